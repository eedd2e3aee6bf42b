/* testing_support.h - what the tests share: comparisons that NaN cannot pass, temporary folders, goldens. */
#ifndef TARE_TESTING_SUPPORT_H
#define TARE_TESTING_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <tare/core.h>
#include <tare/layers.h>

/* test_tol - `single` in the float build, `twice` in the double one. */
#ifdef TARE_F64
#define test_tol(single, twice) (twice)
#else
#define test_tol(single, twice) (single)
#endif

/* assert_ok - the status is TARE_OK, or the failure shows tare_error(). assert_status - it is the one expected. */
#define assert_ok(call)               test_status_(TARE_OK, (call), #call, __FILE__, __LINE__)
#define assert_status(expected, call) test_status_((expected), (call), #call, __FILE__, __LINE__)
void test_status_(tare_status expected, tare_status got, const char *call, const char *file, int line);

/* assert_near - |got - want| <= tol; NaN fails.
 * assert_all_near - the same for n values against doubles, tol relative to the largest |want|. */
#define assert_near(got, want, tol)        test_near_((double)(got), (double)(want), (tol), __FILE__, __LINE__)
#define assert_all_near(got, want, n, tol) test_all_near_((got), (want), (n), (tol), __FILE__, __LINE__)
void test_near_(double got, double want, double tol, const char *file, int line);
void test_all_near_(const tare_real *got, const double *want, int64_t n, double tol, const char *file, int line);

/* assert_contains - the text holds the words. */
#define assert_contains(text, words) test_contains_((text), (words), __FILE__, __LINE__)
void test_contains_(const char *text, const char *words, const char *file, int line);

/* test_distance - the largest |got - want| / max|want|; Inf where something is NaN or Inf that should not be. */
double test_distance(const tare_real *got, const double *want, int64_t n);

/* test_short_memory - let build's n-th allocation fail, n = 1, 2, ...: NULL and TARE_ENOMEM each time and nothing kept, until all
 * goes through. */
void test_short_memory(tare_layer *(*build)(tare_params *ps));

/* test_dir_new - a new folder of this test's own below $TMPDIR or /tmp; test_dir_remove deletes it with all in it. */
char *test_dir_new(void);
void test_dir_remove(char *dir);
/* test_path - "dir/name", in one of a few buffers used in turn. */
const char *test_path(const char *dir, const char *name);

/* test_isa_missing - was this test started for an instruction set that this machine has not? Then main returns 77. */
bool test_isa_missing(void);

/* ---- goldens: tests/golden/data/<name>.gold, format in tests/golden/goldens.py ---------------------------------------- */

typedef struct golden golden;
golden *golden_open(const char *name); /* NULL where there is no such file */
void golden_close(golden *g);
/* golden_get - the values under a key, and their shape (may be NULL); NULL where there are none. Keys are as printf's. */
const double *golden_get(const golden *g, tare_shape *shape, const char *key, ...) TARE_PRINTF(3, 4);
/* golden_key - the index-th key, or NULL after the last. */
const char *golden_key(const golden *g, int64_t index);

#endif
