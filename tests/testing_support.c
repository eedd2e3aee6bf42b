/* testing_support.c - see testing_support.h. */
#include "testing_support.h"

#include "kernels/kernels.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

void test_status_(tare_status expected, tare_status got, const char *call, const char *file, int line) {
    if (expected == got) { return; }
    print_error("%s\n  is \"%s\" (%s), expected \"%s\"\n", call, tare_status_text(got), tare_error(),
                tare_status_text(expected));
    _fail(file, line);
}

void test_near_(double got, double want, double tol, const char *file, int line) {
    if (fabs(got - want) <= tol || (isinf(want) && got == want)) { return; }
    print_error("got %.17g, expected %.17g within %g\n", got, want, tol);
    _fail(file, line);
}

double test_distance(const tare_real *got, const double *want, int64_t n) {
    double scale = 0, worst = 0;
    for (int64_t i = 0; i < n; i++) { scale = fmax(scale, fabs(want[i])); }
    for (int64_t i = 0; i < n; i++) {
        double error = fabs((double)got[i] - want[i]);
        bool same = (isnan(want[i]) && isnan((double)got[i])) || (isinf(want[i]) && (double)got[i] == want[i]);
        if (same || error == 0) { continue; }
        if (!(error <= HUGE_VAL) || isinf(scale) || scale == 0) { return HUGE_VAL; }
        worst = fmax(worst, error / scale);
    }
    return worst;
}

void test_all_near_(const tare_real *got, const double *want, int64_t n, double tol, const char *file, int line) {
    if (got && test_distance(got, want, n) <= tol) { return; }
    print_error("%lld values differ by %g of the largest, allowed %g\n", (long long)n,
                got ? test_distance(got, want, n) : (double)NAN, tol);
    for (int64_t i = 0; got && i < n && i < 8; i++) {
        print_error("  [%lld] got %.9g, expected %.9g\n", (long long)i, (double)got[i], want[i]);
    }
    _fail(file, line);
}

void test_contains_(const char *text, const char *words, const char *file, int line) {
    if (text && strstr(text, words)) { return; }
    print_error("\"%s\" does not say \"%s\"\n", text ? text : "(null)", words);
    _fail(file, line);
}

void test_short_memory(tare_layer *(*build)(tare_params *ps)) {
    uint64_t live = tare_alloc_live();
    bool stands = false;
    for (uint64_t n = 1; !stands; n++) {
        assert_true(n < 2000);
        tare_alloc_fail_at(n);
        tare_params *ps = tare_params_new(1);
        stands = build(ps) != NULL;
        tare_alloc_fail_at(0);
        assert_int_equal(stands ? TARE_OK : TARE_ENOMEM, tare_params_status(ps));
        tare_params_free(ps);
        assert_true(live == tare_alloc_live());
    }
}

/* ---- temporary folders ------------------------------------------------------------------------------------------- */

char *test_dir_new(void) {
    const char *root = getenv("TMPDIR");
    char *dir = malloc(4096);
    assert_non_null(dir);
    snprintf(dir, 4096, "%s/tare-test-XXXXXX", root && *root ? root : "/tmp");
    assert_non_null(mkdtemp(dir));
    return dir;
}

static void remove_tree(const char *path) {
    struct stat info;
    if (lstat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
        chmod(path, 0700);
        DIR *folder = opendir(path);
        for (struct dirent *entry; folder && (entry = readdir(folder));) {
            if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) { continue; }
            char below[4096];
            if ((size_t)snprintf(below, sizeof below, "%s/%s", path, entry->d_name) < sizeof below) {
                remove_tree(below);
            }
        }
        if (folder) { closedir(folder); }
    }
    remove(path);
}

void test_dir_remove(char *dir) {
    if (dir) { remove_tree(dir); }
    free(dir);
}

const char *test_path(const char *dir, const char *name) {
    static char buffers[8][4096];
    static int next;
    char *path = buffers[next++ % 8];
    assert_true((size_t)snprintf(path, sizeof buffers[0], "%s/%s", dir, name) < sizeof buffers[0]);
    return path;
}

bool test_isa_missing(void) {
    const char *needed = getenv("TARE_TEST_NEEDS_ISA");
    return needed && strcmp(needed, tare__kernels()->level) != 0;
}

/* ---- goldens ----------------------------------------------------------------------------------------------------- */

typedef struct entry {
    char *name;
    tare_shape shape;
    double *data;
} entry;

struct golden {
    entry *entries;
    int64_t count;
};

static size_t pad8(size_t bytes) { return (bytes + 7) / 8 * 8; }

/* `numel` numbers of `size` bytes each, as doubles. */
static double *read_numbers(const char *from, size_t numel, size_t size) {
    double *data = malloc(8 * (numel ? numel : 1));
    assert_non_null(data);
    for (size_t i = 0; i < numel; i++) {
        float single;
        memcpy(size == 4 ? (void *)&single : (void *)&data[i], from + i * size, size);
        if (size == 4) { data[i] = (double)single; }
    }
    return data;
}

/* The entry at byte `at`, and where the next one begins; 0 where the file is damaged. */
static size_t read_entry(const char *file, size_t size, size_t at, entry *out) {
    uint32_t name;
    uint16_t ndim, bytes;
    if (size - at < 8) { return 0; }
    memcpy(&name, file + at, 4);
    memcpy(&ndim, file + at + 4, 2);
    memcpy(&bytes, file + at + 6, 2);
    at += 8;
    if (ndim > TARE_MAX_DIMS || (bytes != 4 && bytes != 8) || name > 4096 || size - at < 8u * ndim + pad8(name)) {
        return 0;
    }
    out->shape = (tare_shape){ .ndim = ndim };
    memcpy(out->shape.dim, file + at, 8u * ndim);
    at += 8u * ndim;
    int64_t numel = tare_shape_numel(out->shape);
    if (numel < 0 || pad8((size_t)numel * bytes) > size - at - pad8(name)) { return 0; }
    out->name = calloc(1, name + 1);
    assert_non_null(out->name);
    memcpy(out->name, file + at, name);
    at += pad8(name);
    out->data = read_numbers(file + at, (size_t)numel, bytes);
    return at + pad8((size_t)numel * bytes);
}

golden *golden_open(const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/data/%s.gold", TARE_TEST_GOLDEN, name);
    FILE *file = fopen(path, "rb");
    if (!file) { return NULL; }
    struct stat info;
    assert_int_equal(fstat(fileno(file), &info), 0);
    size_t size = (size_t)info.st_size, at = 8;
    golden *g = calloc(1, sizeof *g);
    assert_non_null(g);
    char *bytes = malloc(size + 1);
    g->entries = calloc(size / 8 + 1, sizeof *g->entries);
    assert_true(bytes && g->entries);
    assert_int_equal(fread(bytes, 1, size, file), size);
    fclose(file);
    assert_memory_equal(bytes, "TAREGOLD", 8);
    while (at < size) {
        at = read_entry(bytes, size, at, &g->entries[g->count++]);
        if (at == 0) { fail_msg("%s is damaged", path); }
    }
    free(bytes);
    return g;
}

void golden_close(golden *g) {
    if (!g) { return; }
    for (int64_t i = 0; i < g->count; i++) {
        free(g->entries[i].name);
        free(g->entries[i].data);
    }
    free(g->entries);
    free(g);
}

const double *golden_get(const golden *g, tare_shape *shape, const char *key, ...) {
    char name[256];
    va_list args;
    va_start(args, key);
    vsnprintf(name, sizeof name, key, args);
    va_end(args);
    for (int64_t i = 0; g && i < g->count; i++) {
        if (strcmp(g->entries[i].name, name) != 0) { continue; }
        if (shape) { *shape = g->entries[i].shape; }
        return g->entries[i].data;
    }
    return NULL;
}

const char *golden_key(const golden *g, int64_t index) { return index < g->count ? g->entries[index].name : NULL; }
