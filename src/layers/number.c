/* number.c - decimal numbers to and from text without the locale, whose decimal point may be a comma. */
#include "number.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static size_t digits(const char *text, double *value, int *count) {
    size_t n = 0;
    for (; isdigit((unsigned char)text[n]); n++) { *value = *value * 10 + (text[n] - '0'); }
    *count += (int)n;
    return n;
}

size_t tare__number(const char *text, double *value) {
    const char *s = text;
    bool minus = *s == '-';
    if (*s == '-' || *s == '+') { s++; }
    double mantissa = 0;
    int count = 0, fraction = 0;
    s += digits(s, &mantissa, &count);
    if (*s == '.') {
        s++;
        s += digits(s, &mantissa, &fraction);
    }
    if (count + fraction == 0) { return 0; }
    int exponent = 0;
    if (*s == 'e' || *s == 'E') {
        const char *e = s + 1;
        bool down = *e == '-';
        if (*e == '-' || *e == '+') { e++; }
        double power = 0;
        int some = 0;
        e += digits(e, &power, &some);
        if (some) {
            exponent = power > 9999 ? 9999 : (int)power;
            exponent = down ? -exponent : exponent;
            s = e;
        }
    }
    exponent -= fraction;
    /* One rounding: both the mantissa (below 2^53) and powers of ten up to 1e22 are exact. */
    double x = exponent < 0 ? mantissa / pow(10, -exponent) : mantissa * pow(10, exponent);
    *value = minus ? -x : x;
    return (size_t)(s - text);
}

void tare__number_write(double value, char *text, size_t size) {
    for (int precision = 1; precision <= 17; precision++) {
        snprintf(text, size, "%.*g", precision, value);
        for (char *s = text; *s; s++) {
            if (!strchr("+-0123456789e", *s)) { *s = '.'; }
        }
        double back;
        if (tare__number(text, &back) && back == value) { return; }
    }
}
