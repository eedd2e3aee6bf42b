/* test_exact.c - numbers as a checkpoint's metadata has them: to text and back without losing a bit.
 * tare-test: double */
#include "testing_support.h"

#include "io/io.h"

#include <float.h>
#include <math.h>

static void test_exact_numbers(void **state) {
    (void)state;
    const double values[] = { 0,
                              -0.0,
                              1,
                              -1.5,
                              0.1,
                              1e300,
                              DBL_MAX,
                              DBL_MIN,
                              0x1p-1074,
                              -0x1.8p-1060,
                              3.141592653589793,
                              (double)INFINITY,
                              -(double)INFINITY,
                              (double)NAN };
    tare__exact text;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        double back = 7;
        assert_true(tare__exact_parse_double(tare__exact_double(values[i], &text), &back));
        assert_true(isnan(values[i]) ? isnan(back) != 0 : memcmp(&back, &values[i], sizeof back) == 0);
        if (isfinite(values[i])) { assert_true(strtod(text.text, NULL) == values[i]); } /* it is C99's notation */
    }
    const int64_t whole[] = { 0, 1, -1, INT64_MAX, INT64_MIN };
    for (int i = 0; i < 5; i++) {
        int64_t back = 7;
        assert_true(tare__exact_parse_int(tare__exact_int(whole[i], &text), &back));
        assert_true(back == whole[i]);
    }
    uint64_t back = 7;
    assert_true(tare__exact_parse_uint(tare__exact_uint(UINT64_MAX, &text), &back));
    assert_true(back == UINT64_MAX);
}

static void test_not_numbers(void **state) {
    (void)state;
    const char *const bad[] = { "",
                                "-",
                                "1",
                                "0x",
                                "0x2.0000000000000p+0",
                                "0x1.000000000000p+0",
                                "0x1.0000000000000",
                                "0x1.0000000000000p",
                                "0x1.0000000000000p0",
                                "0x1.0000000000000p+",
                                "0x1.000000000000gp+0",
                                "0x1.0000000000000p+1024",
                                "0x1.0000000000000p-1023",
                                "0x0.8000000000000p+0",
                                "infinity",
                                "-nan",
                                "0x1.0000000000000p+0 ",
                                "--0x1.0000000000000p+0",
                                "0x1.0000000000000p+-1" };
    double value = 7;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (tare__exact_parse_double(bad[i], &value)) { fail_msg("\"%s\" was taken for %g", bad[i], value); }
    }
    const char *const not_int[] = { "",   "-", "+1", " 1", "1 ", "1.0", "9223372036854775808", "-9223372036854775809",
                                    "0x1" };
    int64_t whole = 7;
    for (size_t i = 0; i < sizeof not_int / sizeof *not_int; i++) {
        assert_true(!tare__exact_parse_int(not_int[i], &whole));
    }
    uint64_t natural = 7;
    assert_true(!tare__exact_parse_uint("18446744073709551616", &natural));
    assert_true(!tare__exact_parse_uint("-1", &natural));
    assert_true(value == 7 && whole == 7 && natural == 7);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact_numbers),
        cmocka_unit_test(test_not_numbers),
    };
    return cmocka_run_group_tests_name("exact numbers", tests, NULL, NULL);
}
