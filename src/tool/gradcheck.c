/* gradcheck.c - `tare gradcheck OP...`: is each op's backward the derivative of its forward? Linked to the double build;
 * again to the float one, as tare-gradcheck-f32, which the former hands over to where a plugin is built in float. */
#include <tare/tare.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct options {
    tare_files names;
    bool all, list;
    int64_t seed;
} options;

static const tare_option table[] = {
    { .kind = TARE_OPTION_GROUP, .help = "What to check" },
    { "", TARE_OPTION_FILES, offsetof(options, names), NULL, "OP[/CASE]|FILE.so",
      "ops by name, or single cases of theirs; plugins: all ops, layers and norms that they bring",
      .flags = TARE_OPTION_LOCAL },
    { "all", TARE_OPTION_FLAG, offsetof(options, all), NULL, NULL, "every op", .flags = TARE_OPTION_LOCAL },
    { "list", TARE_OPTION_FLAG, offsetof(options, list), NULL, NULL,
      "list the ops, whether each has a backward, and its cases; check nothing", .flags = TARE_OPTION_LOCAL },
    { .kind = TARE_OPTION_GROUP, .help = "How" },
    { "seed", TARE_OPTION_INT, offsetof(options, seed), "0", "N", "of the random inputs and upstream gradients", 0,
      INT32_MAX, TARE_OPTION_LOCAL },
    { 0 },
};

typedef struct counts {
    int passed, failed, without; /* cases, cases, ops */
} counts;

static bool has_backward(const tare_op *op) { return op->backward || (op->flags & TARE_OP_ALIAS); }

/* ---- which ops --------------------------------------------------------------------------------------------------- */

/* The op that `word` ("conv2d", "conv2d/stride2") names, and its case; both checked. */
static tare_status find(const char *word, const tare_op **op, const tare_opcase **opcase) {
    char name[64];
    size_t length = strcspn(word, "/");
    snprintf(name, sizeof name, "%.*s", (int)(length < sizeof name ? length : sizeof name - 1), word);
    *opcase = NULL;
    *op = tare_op_find(name);
    if (!*op) {
        const char *names[512];
        int64_t count = 0;
        while (count < 512 && tare_op_at((int)count)) {
            names[count] = tare_op_at((int)count)->name;
            count++;
        }
        const char *near = tare_nearest(name, names, count);
        return tare_fail(TARE_ENOENT, "there is no op \"%s\"%s%s%s", name, near ? "; did you mean \"" : "",
                         near ? near : "; --list shows them all", near ? "\"?" : "");
    }
    if (!word[length]) { return TARE_OK; }
    const char *names[512];
    int64_t count = 0;
    for (const tare_opcase *c = (*op)->cases; c && c->name && count < 512; c++) {
        if (strcmp(c->name, word + length + 1) == 0) { *opcase = c; }
        names[count++] = c->name;
    }
    if (*opcase) { return TARE_OK; }
    const char *near = tare_nearest(word + length + 1, names, count);
    return tare_fail(TARE_ENOENT, "%s has no case \"%s\"%s%s%s", name, word + length + 1,
                     near ? "; did you mean \"" : "", near ? near : "; --list shows them all", near ? "\"?" : "");
}

static void list_ops(void) {
    printf("%-26s %-9s %s\n", "op", "backward", "cases");
    for (int i = 0; tare_op_at(i); i++) {
        const tare_op *op = tare_op_at(i);
        const char *backward = op->flags & TARE_OP_ALIAS ? "by alias" : op->backward ? "yes" : "no";
        printf("%-26s %-9s", op->name, backward);
        for (const tare_opcase *c = op->cases; c && c->name; c++) { printf(" %s", c->name); }
        printf("\n");
    }
}

/* ---- checking ---------------------------------------------------------------------------------------------------- */

static void tell(const char *name, const char *which, tare_status status, const tare_gradcheck_report *r, counts *n) {
    if (status) {
        printf("%-26s %-24s %s\n    %s\n", name, which, "FAILED", *r->message ? r->message : tare_error());
        n->failed++;
        return;
    }
    printf("%-26s %-24s %-11.2g %-8lld %-8d ok\n", name, which, r->worst, (long long)r->compared, r->subsets);
    n->passed++;
}

static void check_case(const tare_op *op, const tare_opcase *opcase, const options *o, counts *n) {
    tare_gradcheck_report report = { 0 };
    tare_status status = tare_gradcheck_op(op, opcase, &(tare_gradcheck_opt){ .seed = (uint64_t)o->seed }, &report);
    tell(op->name, opcase->name, status, &report, n);
}

static void check_op(const tare_op *op, const tare_opcase *opcase, const options *o, counts *n) {
    if (!has_backward(op)) {
        printf("%-26s %-24s no backward: it refuses to be recorded where a gradient is wanted\n", op->name, "-");
        n->without++;
    } else if (opcase) {
        check_case(op, opcase, o, n);
    } else if (!op->cases || !op->cases->name) {
        printf("%-26s %-24s FAILED\n    it has a backward, but no cases to check it by\n", op->name, "-");
        n->failed++;
    } else {
        for (opcase = op->cases; opcase->name; opcase++) { check_case(op, opcase, o, n); }
    }
}

/* ---- plugins ----------------------------------------------------------------------------------------------------- */

static bool is_plugin(const char *word) {
    size_t n = strlen(word);
    return n > 3 && strcmp(word + n - 3, ".so") == 0;
}

static tare_tensor *run_layer(tare_tape *tape, tare_tensor *const *in, void *user) {
    return tare_forward(user, tape, in[0]);
}

/* A layer of `ps` for samples of this shape, or what kept it from being made. */
static void check_layer(const char *kind, const char *name, tare_params *ps, tare_layer *layer, bool eval,
                        tare_shape features, const options *o, counts *n) {
    tare_gradcheck_report report = { 0 };
    tare_shape_buf buf;
    char title[64];
    tare_status s = ps ? tare_params_status(ps) : TARE_ENOMEM;
    if (s == TARE_OK && !layer) { s = tare_fail(TARE_EINVAL, "its make returned no layer and gave no reason"); }
    if (s == TARE_OK) { /* inputs away from 0, where norms may have a kink */
        tare_gradcheck_input x = { .shape = TARE_SHAPE(3), .fill = { TARE_FILL_AWAY, 0.1, 0 } };
        for (int i = 0; i < features.ndim; i++) { x.shape.dim[x.shape.ndim++] = features.dim[i]; }
        tare_gradcheck_opt opt = { .seed = (uint64_t)o->seed, .params = ps, .eval = eval };
        s = tare_gradcheck(name, run_layer, layer, &x, 1, &opt, &report);
    }
    snprintf(title, sizeof title, "%s %s", kind, name);
    tell(title, tare_shape_text(features, &buf), s, &report, n);
}

/* A norm as the layer that its kind makes; one of weights, on a linear layer, in evaluation, where its buffers stay. */
static void check_norm(const tare_norm_kind *kind, tare_shape features, const options *o, counts *n) {
    double values[TARE_NORM_OPTIONS] = { 0 };
    for (int i = 0; i < TARE_NORM_OPTIONS && kind->options[i].key; i++) { values[i] = kind->options[i].initial; }
    tare_params *ps = tare_params_new((uint64_t)o->seed);
    tare_layer *layer = kind->make ? kind->make(ps, kind->name, features, values)
                                   : tare_layer_linear(ps, "linear", 6, 5, (tare_layer_linear_opt){ 0 });
    if (!kind->make && layer) { kind->transform(layer, values); }
    check_layer("norm", kind->name, ps, layer, !kind->make, features, o, n);
    tare_params_free(ps);
}

static void check_named(const tare_layer_kind *kind, tare_shape features, const options *o, counts *n) {
    tare_params *ps = tare_params_new((uint64_t)o->seed);
    check_layer("layer", kind->name, ps, tare_layer_named(ps, NULL, kind->name, features), false, features, o, n);
    tare_params_free(ps);
}

static void check_plugin(const char *path, const options *o, counts *n) {
    const tare_plugin *p = NULL;
    if (tare_plugin_open(path, &p) != TARE_OK) { return; } /* it is open already */
    for (int i = 0; p->ops && p->ops[i]; i++) { check_op(p->ops[i], NULL, o, n); }
    for (int i = 0; p->layers && p->layers[i]; i++) {
        check_named(p->layers[i], TARE_SHAPE(6), o, n);
        check_named(p->layers[i], TARE_SHAPE(6, 3, 4), o, n);
    }
    for (int i = 0; p->norms && p->norms[i]; i++) {
        check_norm(p->norms[i], TARE_SHAPE(6), o, n);
        if (p->norms[i]->make) { check_norm(p->norms[i], TARE_SHAPE(6, 3, 4), o, n); }
    }
}

#ifdef TARE_F64
/* Becomes tare-gradcheck-f32 where the first plugin is built in float. Returns where it is not, or where that fails. */
static tare_status hand_over(const options *o, char **argv) {
    size_t size = 0;
    for (int64_t i = 0; i < o->names.count && size == 0; i++) {
        tare_status s = is_plugin(o->names.name[i]) ? tare_plugin_precision(o->names.name[i], &size) : TARE_OK;
        if (s != TARE_OK) { return s; }
    }
    if (size != sizeof(float)) { return TARE_OK; }
    char self[PATH_MAX], other[PATH_MAX + 8];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    snprintf(other, sizeof other, "%.*s-f32", length > 0 ? (int)length : 0, self);
    execv(other, argv);
    return tare_fail(TARE_EIO, "%s, which checks plugins built in float, cannot be run: %s", other, strerror(errno));
}
#endif

/* Opened before anything is checked or listed, so that names of their ops and a misspelt path are known. */
static tare_status open_plugins(const options *o, char **argv) {
#ifdef TARE_F64
    tare_status s = hand_over(o, argv);
#else
    (void)argv;
    tare_status s = TARE_OK;
#endif
    for (int64_t i = 0; i < o->names.count && s == TARE_OK; i++) {
        const char *path = o->names.name[i];
        const tare_plugin *p = NULL;
        if (is_plugin(path)) { s = tare_plugin_open(path, &p); }
        if (p && !p->ops && !p->layers && !p->norms) {
            s = tare_fail(TARE_ENOENT, "%s: brings no op, layer or norm: nothing to check", path);
        }
    }
    return s;
}

/* ---- all that is asked for --------------------------------------------------------------------------------------- */

static tare_status check(const options *o, counts *n) {
    const tare_op *op;
    const tare_opcase *opcase;
    /* A misspelt name is told before minutes of checking. */
    for (int64_t i = 0; i < o->names.count; i++) {
        tare_status s = is_plugin(o->names.name[i]) ? TARE_OK : find(o->names.name[i], &op, &opcase);
        if (s != TARE_OK) { return s; }
    }
    if (sizeof(tare_real) == sizeof(float)) {
        printf("in float: errors up to 0.02 pass, since rounding hides smaller ones; built in double, it is checked to "
               "1e-6\n");
    }
    printf("%-26s %-24s %-11s %-8s %-8s\n", "op", "case", "worst error", "compared", "subsets");
    for (int i = 0; o->all && tare_op_at(i); i++) { check_op(tare_op_at(i), NULL, o, n); }
    for (int64_t i = 0; i < o->names.count && !o->all; i++) {
        if (is_plugin(o->names.name[i])) {
            check_plugin(o->names.name[i], o, n);
        } else if (find(o->names.name[i], &op, &opcase) == TARE_OK) {
            check_op(op, opcase, o, n);
        }
    }
    printf("\n%d cases passed, %d failed", n->passed, n->failed);
    if (n->without) { printf(", %d ops have no backward", n->without); }
    printf("\n");
    return TARE_OK;
}

int main(int argc, char **argv) {
    options o = { 0 };
    counts n = { 0 };
#ifdef TARE_F64
    static const char about[] = TARE_DESCRIBE "check ops' gradients against central differences";
#else
    static const char about[] = TARE_DESCRIBE "-the same in float; `tare gradcheck` calls it where a plugin is";
#endif
    tare_options *args = tare_options_new("gradcheck", about);
    tare_status s = args ? tare_options_add(args, table, &o) : TARE_ENOMEM;
    if (s == TARE_OK) { s = tare_options_parse(args, argc, argv); }
    if (s == TARE_OK) { s = open_plugins(&o, argv); }
    if (s == TARE_OK && tare_options_text(args)) {
        fputs(tare_options_text(args), stdout);
    } else if (s == TARE_OK && o.list) {
        list_ops();
    } else if (s == TARE_OK && !o.all && o.names.count == 0) {
        s = tare_fail(TARE_EINVAL, "name the ops to check, or say --all; --list shows them");
    } else if (s == TARE_OK) {
        s = check(&o, &n);
    }
    if (s != TARE_OK) { fprintf(stderr, "tare gradcheck: %s\n", tare_error()); }
    tare_options_free(args);
    return tare_output_end("tare gradcheck", s != TARE_OK ? 2 : n.failed > 0);
}
