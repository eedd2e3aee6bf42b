/* gradcheck.c - `tare gradcheck OP...`: is each op's backward the derivative of its forward? Linked to the double build. */
#include <tare/tare.h>

#include <stdio.h>
#include <string.h>

typedef struct options {
    tare_files names;
    bool all, list;
    int64_t seed;
} options;

static const tare_option table[] = {
    { .kind = TARE_OPTION_GROUP, .help = "What to check" },
    { "", TARE_OPTION_FILES, offsetof(options, names), NULL, "OP[/CASE]", "ops by name, or single cases of theirs",
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

static void check_case(const tare_op *op, const tare_opcase *opcase, const options *o, counts *n) {
    tare_gradcheck_report report;
    tare_status status = tare_gradcheck_op(op, opcase, &(tare_gradcheck_opt){ .seed = (uint64_t)o->seed }, &report);
    if (status) {
        printf("%-26s %-24s %s\n    %s\n", op->name, opcase->name, "FAILED", report.message);
        n->failed++;
        return;
    }
    printf("%-26s %-24s %-11.2g %-8lld %-8d ok\n", op->name, opcase->name, report.worst, (long long)report.compared,
           report.subsets);
    n->passed++;
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

static tare_status check(const options *o, counts *n) {
    const tare_op *op;
    const tare_opcase *opcase;
    /* A misspelt name is told before minutes of checking. */
    for (int64_t i = 0; i < o->names.count; i++) {
        tare_status s = find(o->names.name[i], &op, &opcase);
        if (s != TARE_OK) { return s; }
    }
    printf("%-26s %-24s %-11s %-8s %-8s\n", "op", "case", "worst error", "compared", "subsets");
    for (int i = 0; o->all && tare_op_at(i); i++) { check_op(tare_op_at(i), NULL, o, n); }
    for (int64_t i = 0; i < o->names.count && !o->all; i++) {
        if (find(o->names.name[i], &op, &opcase) == TARE_OK) { check_op(op, opcase, o, n); }
    }
    printf("\n%d cases passed, %d failed", n->passed, n->failed);
    if (n->without) { printf(", %d ops have no backward", n->without); }
    printf("\n");
    return TARE_OK;
}

int main(int argc, char **argv) {
    options o = { 0 };
    counts n = { 0 };
    tare_options *args =
        tare_options_new("gradcheck", TARE_DESCRIBE "check ops' gradients against central differences");
    tare_status s = args ? tare_options_add(args, table, &o) : TARE_ENOMEM;
    if (s == TARE_OK) { s = tare_options_parse(args, argc, argv); }
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
    return s != TARE_OK ? 2 : n.failed > 0;
}
