/* info.c - `tare info`: what Tare found on this machine; `tare info FILE...`: what a run or a safetensors file holds. */
#include <tare/tare.h>

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct options {
    tare_files files;
} options;

static const tare_option table[] = {
    { .kind = TARE_OPTION_GROUP, .help = "What to look at" },
    { "", TARE_OPTION_FILES, offsetof(options, files), NULL, "RUN|FILE",
      "run folders or safetensors files; none: this machine", .flags = TARE_OPTION_LOCAL },
    { 0 },
};

/* What an environment variable asks for, beside what came of it. */
static void print_wish(const char *name, const char *note) {
    const char *value = getenv(name);
    if (value) { printf("  (%s=%s%s)", name, value, note); }
    printf("\n");
}

static void print_machine(void) {
    tare_machine m;
    tare_machine_get(&m);
    const char *force = getenv("TARE_ISA");
    printf("tare       %s, ABI %d, %s\n", TARE_VERSION, TARE_ABI, sizeof(tare_real) == 4 ? "float" : "double");
    printf("processor  %s\n", m.cpu);
    printf("kernels    %s", m.isa);
    print_wish("TARE_ISA", force && strcmp(force, m.isa) != 0 ? ": not here; known: baseline, avx2, avx512" : "");
    printf("threads    %d of %d cores", m.threads, m.cores);
    print_wish("OMP_NUM_THREADS", "");
    printf("memory     %.1f GiB\n", (double)m.memory / 1073741824.0);
    printf("allocator  C library's aligned_alloc, 64-byte alignment; from 2 MiB pages of their\n           own, "
           "huge ones where the system gives them\n");
    printf("blas       %s\n", m.blas);
    if (m.threads == 1 && m.cores > 1) { printf("\nnote: one thread on %d cores; training will be slow\n", m.cores); }
}

static void print_tensors(const tare_reader *r) {
    int64_t values = 0;
    for (int64_t i = 0; i < tare_reader_count(r); i++) {
        const tare_entry *e = tare_reader_at(r, i);
        tare_shape_buf shape;
        printf("  %-44s %-5s %s\n", e->name, tare_dtype_name(e->dtype), tare_shape_text(e->shape, &shape));
        values += e->numel;
    }
    printf("  %lld tensors, %lld values\n", (long long)tare_reader_count(r), (long long)values);
}

/* Text of a file on one line: a vocabulary has line breaks in it, and what else a terminal would act upon. */
static void print_text(const char *text) {
    for (const char *s = text; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '\n') {
            fputs("\\n", stdout);
        } else if (c < 0x20 || c == 0x7f) {
            printf("\\x%02x", c);
        } else {
            putchar(c);
        }
    }
}

static tare_status print_file(const char *path) {
    tare_reader *r;
    tare_status s = tare_reader_open(path, &r);
    if (s != TARE_OK) { return s; }
    printf("%s\n", path);
    const char *key, *text;
    for (int64_t i = 0; (text = tare_reader_meta_at(r, i, &key)); i++) {
        printf("  %s = ", key);
        print_text(text);
        putchar('\n');
    }
    print_tensors(r);
    tare_reader_free(r);
    return TARE_OK;
}

/* The checkpoints of a run; a folder without any is an error. */
static tare_status print_run(const char *folder) {
    static const char *const names[] = { "last.safetensors", "best.safetensors" };
    struct stat status;
    char path[4096];
    int found = 0;
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        if (stat(path, &status) != 0) { continue; }
        tare_status s = print_file(path);
        if (s != TARE_OK) { return s; }
        found++;
    }
    return found ? TARE_OK
                 : tare_fail(TARE_ENOENT, "%s: no run: neither last.safetensors nor best.safetensors", folder);
}

static tare_status print_all(const tare_files *files) {
    for (int64_t i = 0; i < files->count; i++) {
        struct stat status;
        bool folder = stat(files->name[i], &status) == 0 && S_ISDIR(status.st_mode);
        tare_status s = folder ? print_run(files->name[i]) : print_file(files->name[i]);
        if (s != TARE_OK) { return s; }
    }
    return TARE_OK;
}

int main(int argc, char **argv) {
    options o = { { 0 } };
    tare_options *args =
        tare_options_new("info", TARE_DESCRIBE "this machine as Tare sees it; the contents of a run or model file");
    tare_status s = args ? tare_options_add(args, table, &o) : TARE_ENOMEM;
    if (s == TARE_OK) { s = tare_options_parse(args, argc, argv); }
    int code = s == TARE_OK ? 0 : 2;
    if (s == TARE_OK && tare_options_text(args)) {
        fputs(tare_options_text(args), stdout);
    } else if (s == TARE_OK && o.files.count == 0) {
        print_machine();
    } else if (s == TARE_OK) {
        s = print_all(&o.files);
        code = s == TARE_OK ? 0 : 1;
    }
    if (s != TARE_OK) { fprintf(stderr, "tare info: %s\n", tare_error()); }
    tare_options_free(args);
    return tare_output_end("tare info", code);
}
