/* exact.c - numbers as text that reads back to the same bits, in any locale. */
#include "io.h"

#include <math.h>
#include <string.h>

enum { BIAS = 1023, MANTISSA_BITS = 52, MANTISSA_DIGITS = 13 };

const char *tare__exact_double(double value, tare__exact *buffer) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    int exponent = (int)(bits >> MANTISSA_BITS & 2047);
    uint64_t mantissa = bits & (((uint64_t)1 << MANTISSA_BITS) - 1);
    const char *sign = bits >> 63 ? "-" : "";
    if (exponent == 2047) {
        snprintf(buffer->text, sizeof buffer->text, "%s%s", mantissa ? "" : sign, mantissa ? "nan" : "inf");
    } else {
        int power = exponent ? exponent - BIAS : mantissa ? 1 - BIAS : 0;
        snprintf(buffer->text, sizeof buffer->text, "%s0x%d.%013llxp%+d", sign, exponent != 0,
                 (unsigned long long)mantissa, power);
    }
    return buffer->text;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') { return c - '0'; }
    if (c >= 'a' && c <= 'f') { return c - 'a' + 10; }
    return -1;
}

bool tare__exact_parse_double(const char *text, double *value) {
    bool negative = *text == '-';
    const char *s = text + negative;
    if (strcmp(text, "nan") == 0) {
        *value = (double)NAN;
        return true;
    }
    if (strcmp(s, "inf") == 0) {
        *value = negative ? -(double)INFINITY : (double)INFINITY;
        return true;
    }
    if (strncmp(s, "0x0.", 4) != 0 && strncmp(s, "0x1.", 4) != 0) { return false; }
    bool leading = s[2] == '1';
    uint64_t mantissa = 0;
    s += 4;
    for (int i = 0; i < MANTISSA_DIGITS; i++, s++) {
        int digit = hex_digit(*s);
        if (digit < 0) { return false; }
        mantissa = mantissa << 4 | (uint64_t)digit;
    }
    uint64_t size;
    if (*s != 'p' || (s[1] != '+' && s[1] != '-') || !tare__exact_parse_uint(s + 2, &size) || size > BIAS) {
        return false;
    }
    int power = s[1] == '-' ? -(int)size : (int)size;
    if (power < 1 - BIAS || (!leading && power != (mantissa ? 1 - BIAS : 0))) { return false; }
    uint64_t bits = mantissa | (leading ? (uint64_t)(power + BIAS) << MANTISSA_BITS : 0) | (uint64_t)negative << 63;
    memcpy(value, &bits, sizeof bits);
    return true;
}

const char *tare__exact_uint(uint64_t value, tare__exact *buffer) {
    snprintf(buffer->text, sizeof buffer->text, "%llu", (unsigned long long)value);
    return buffer->text;
}

bool tare__exact_parse_uint(const char *text, uint64_t *value) {
    uint64_t x = 0;
    if (!*text) { return false; }
    for (; *text; text++) {
        if (*text < '0' || *text > '9') { return false; }
        uint64_t digit = (uint64_t)(*text - '0');
        if (x > (UINT64_MAX - digit) / 10) { return false; }
        x = 10 * x + digit;
    }
    *value = x;
    return true;
}

const char *tare__exact_int(int64_t value, tare__exact *buffer) {
    snprintf(buffer->text, sizeof buffer->text, "%lld", (long long)value);
    return buffer->text;
}

bool tare__exact_parse_int(const char *text, int64_t *value) {
    bool negative = *text == '-';
    uint64_t x;
    if (!tare__exact_parse_uint(text + negative, &x) || x > (uint64_t)INT64_MAX + negative) { return false; }
    *value = negative && x > 0 ? -(int64_t)(x - 1) - 1 : (int64_t)x;
    return true;
}
