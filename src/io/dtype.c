/* dtype.c - the number types a file may hold, and how each becomes a real. */
#include "io.h"

#include <math.h>
#include <string.h>

static const struct {
    const char *name;
    int64_t size;
} dtypes[] = {
#define DTYPE_ROW(name, bytes) [TARE_DTYPE_##name] = { #name, bytes },
    TARE_DTYPE_MAP(DTYPE_ROW)
#undef DTYPE_ROW
};

static bool is_dtype(tare_dtype dtype) { return (unsigned)dtype < sizeof dtypes / sizeof *dtypes; }
const char *tare_dtype_name(tare_dtype dtype) { return is_dtype(dtype) ? dtypes[dtype].name : "?"; }
int64_t tare_dtype_size(tare_dtype dtype) { return is_dtype(dtype) ? dtypes[dtype].size : 0; }

/* The `bytes` bytes at p, least first, as an unsigned number. */
static uint64_t load(const unsigned char *p, int64_t bytes) {
    uint64_t x = 0;
    for (int64_t i = 0; i < bytes; i++) { x |= (uint64_t)p[i] << (8 * i); }
    return x;
}

/* x with the sign bit at `bit` carried on upwards. */
static double with_sign(uint64_t x, int bit) {
    uint64_t sign = (uint64_t)1 << bit;
    return x & sign ? -(double)(~(x | ~(2 * sign - 1)) + 1) : (double)x;
}

static double half_to_double(uint64_t x) {
    int exponent = (int)(x >> 10 & 31);
    double mantissa = (double)(x & 1023), sign = x >> 15 ? -1 : 1;
    if (exponent == 31) { return mantissa > 0 ? (double)NAN : sign * (double)INFINITY; }
    return sign * (exponent == 0 ? ldexp(mantissa, -24) : ldexp(1024 + mantissa, exponent - 25));
}

static double float_to_double(uint64_t x) {
    uint32_t bits = (uint32_t)x;
    float value;
    memcpy(&value, &bits, sizeof value);
    return (double)value;
}

static double bits_to_double(uint64_t x) {
    double value;
    memcpy(&value, &x, sizeof value);
    return value;
}

static double value_at(tare_dtype dtype, const unsigned char *p) {
    uint64_t x = load(p, tare_dtype_size(dtype));
    switch (dtype) {
    case TARE_DTYPE_BOOL:
    case TARE_DTYPE_U8:
    case TARE_DTYPE_U16:
    case TARE_DTYPE_U32:
    case TARE_DTYPE_U64: return (double)x;
    case TARE_DTYPE_I8: return with_sign(x, 7);
    case TARE_DTYPE_I16: return with_sign(x, 15);
    case TARE_DTYPE_I32: return with_sign(x, 31);
    case TARE_DTYPE_I64: return with_sign(x, 63);
    case TARE_DTYPE_F16: return half_to_double(x);
    case TARE_DTYPE_BF16: return float_to_double(x << 16);
    case TARE_DTYPE_F32: return float_to_double(x);
    case TARE_DTYPE_F64: return bits_to_double(x);
    }
    return (double)NAN;
}

void tare_entry_double(const tare_entry *e, double *out) {
    const unsigned char *p = e->data;
    int64_t size = tare_dtype_size(e->dtype);
    for (int64_t i = 0; i < e->numel; i++) { out[i] = value_at(e->dtype, p + i * size); }
}

void tare_entry_real(const tare_entry *e, tare_real *out) {
    const unsigned char *p = e->data;
    int64_t size = tare_dtype_size(e->dtype);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (e->dtype == TARE_DTYPE_REAL) {
        if (e->numel) { memcpy(out, p, (size_t)(e->numel * size)); }
        return;
    }
#endif
    for (int64_t i = 0; i < e->numel; i++) { out[i] = (tare_real)value_at(e->dtype, p + i * size); }
}
