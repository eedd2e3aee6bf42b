/* summary.c - a model as a table: runs one sample and reads what the layers left on the tape. */
#include <tare/layers.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "../core/columns.h"

/* Columns: 80 in all, the name as wide as the longest (within bounds) and the description what remains. */
enum { WIDTH = 80, NAME_MIN = 8, NAME_MAX = 24, SHAPE = 13, NUMBER = 10, MACS = 7 };

typedef struct table {
    char *text;
    size_t used, room;
    bool failed;
    const tare_tape *tape;
    int name_width;
    double macs;
    const tare_layer **shown; /* a layer that is used twice has one row */
    int n_shown;
} table;

TARE_PRINTF(2, 3)
static void add(table *t, const char *format, ...) {
    char line[256];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (size < 0 || t->failed) { return; }
    size_t more = (size_t)size < sizeof line ? (size_t)size : sizeof line - 1;
    if (t->used + more + 1 > t->room) {
        size_t room = 2 * (t->used + more + 1);
        char *larger = tare_malloc(room);
        t->failed = !larger;
        if (t->failed) { return; }
        if (t->used) { memcpy(larger, t->text, t->used); }
        tare_free(t->text);
        t->text = larger;
        t->room = room;
    }
    memcpy(t->text + t->used, line, more + 1);
    t->used += more;
}

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

/* 1234567 -> "1,234,567" */
static const char *grouped(int64_t value, char *text, size_t size) {
    char digits[32];
    int n = snprintf(digits, sizeof digits, "%" PRId64, value);
    size_t used = 0;
    for (int i = 0; i < n && used + 2 < size; i++) {
        if (i && (n - i) % 3 == 0) { text[used++] = ','; }
        text[used++] = digits[i];
    }
    text[used] = 0;
    return text;
}

/* 1234567 -> "1.23M" */
static const char *rounded(double value, char *text, size_t size) {
    static const char units[] = " KMGTP";
    int unit = 0;
    while (value >= 999.5 && units[unit + 1]) { value /= 1000, unit++; }
    if (unit == 0) {
        snprintf(text, size, "%.0f", value);
    } else {
        snprintf(text, size, "%.3g%c", value, units[unit]);
    }
    return text;
}

/* ---- one layer --------------------------------------------------------------------------------------------------- */

typedef struct facts {
    const tare_tensor *out; /* of its last op; NULL: it recorded none */
    double macs;
    int64_t params, decayed;
} facts;

static facts facts_of(const table *t, const tare_layer *layer) {
    facts f = { 0 };
    for (int64_t i = 0; i < tare_tape_length(t->tape); i++) {
        const tare_node *n = tare_tape_node(t->tape, i);
        if (n->layer != layer->name) { continue; }
        f.out = n->out;
        f.macs += n->macs;
    }
    size_t size = strlen(layer->name);
    for (int i = 0; i < tare_params_count(layer->params); i++) {
        const tare_tensor *w = tare_params_at(layer->params, i);
        if (strncmp(w->name, layer->name, size) != 0 || w->name[size] != '.' || strchr(w->name + size + 1, '.')) {
            continue;
        }
        f.params += w->numel;
        if (!(tare_params_flags(layer->params, i) & TARE_NO_DECAY)) { f.decayed += w->numel; }
    }
    return f;
}

/* Without the sample's dimension N. */
static const char *shape_text(const tare_tensor *x, tare_shape_buf *buf) {
    if (!x) { return ""; }
    tare_shape s = { .ndim = x->shape.ndim > 0 ? x->shape.ndim - 1 : 0 };
    for (int d = 0; d < s.ndim; d++) { s.dim[d] = x->shape.dim[d + 1]; }
    return tare_shape_text(s, buf);
}

static void row(table *t, const tare_layer *layer) {
    facts f = facts_of(t, layer);
    char what[96], params[32] = "", decayed[32] = "", macs[32] = "";
    int used = snprintf(what, sizeof what, "%s", layer->cls->name);
    if (layer->cls->describe) {
        char words[64] = "";
        layer->cls->describe(layer, words, sizeof words);
        if (words[0]) { snprintf(what + used, sizeof what - (size_t)used, " %s", words); }
    }
    if (f.params) {
        grouped(f.params, params, sizeof params);
        grouped(f.decayed, decayed, sizeof decayed);
    }
    if (f.macs > 0) { rounded(f.macs, macs, sizeof macs); }
    t->macs += f.macs;
    int name = t->name_width, rest = WIDTH - name - SHAPE - 2 * NUMBER - MACS - 5;
    int over = tare__columns(layer->name, strlen(layer->name)) - name;
    tare_shape_buf buf;
    tare__cell_buf first, second;
    /* of a long name the end tells more */
    add(t, "%s %s %-*.*s %*s %*s %*s\n",
        tare__cell_text(layer->name + tare__columns_bytes(layer->name, over > 0 ? over : 0), name, &first),
        tare__cell_text(what, rest, &second), SHAPE, SHAPE, shape_text(f.out, &buf), NUMBER, params, NUMBER, decayed,
        MACS, macs);
}

/* ---- the tree ---------------------------------------------------------------------------------------------------- */

static bool has_ops(const table *t, const tare_layer *layer) {
    for (int64_t i = 0; i < tare_tape_length(t->tape); i++) {
        if (tare_tape_node(t->tape, i)->layer == layer->name) { return true; }
    }
    return false;
}

static bool was_shown(table *t, const tare_layer *layer) {
    for (int i = 0; i < t->n_shown; i++) {
        if (t->shown[i] == layer) { return true; }
    }
    t->shown[t->n_shown++] = layer;
    return false;
}

static int count(const tare_layer *layer) {
    int n = 1;
    for (int i = 0; i < layer->n_children; i++) { n += count(layer->children[i]); }
    return n;
}

static void rows(table *t, const tare_layer *layer) {
    if (was_shown(t, layer)) { return; }
    bool container = layer->cls->container;
    if (!container) { row(t, layer); }
    for (int i = 0; i < layer->n_children; i++) { rows(t, layer->children[i]); }
    if (container && has_ops(t, layer)) { row(t, layer); }
}

static int longest_name(const tare_layer *layer) {
    int longest = layer->cls->container ? 0 : tare__columns(layer->name, strlen(layer->name));
    for (int i = 0; i < layer->n_children; i++) {
        int below = longest_name(layer->children[i]);
        if (below > longest) { longest = below; }
    }
    return longest;
}

static void totals(table *t, const tare_params *ps) {
    int64_t decayed = 0, buffers = 0;
    for (int i = 0; i < tare_params_count(ps); i++) {
        if (!(tare_params_flags(ps, i) & TARE_NO_DECAY)) { decayed += tare_params_at(ps, i)->numel; }
    }
    for (int i = 0; i < tare_params_buffers(ps); i++) { buffers += tare_params_buffer_at(ps, i)->numel; }
    char a[32], b[32], c[32];
    add(t, "%s parameters, weight decay on %s of them", grouped(tare_params_numel(ps), a, sizeof a),
        grouped(decayed, b, sizeof b));
    if (buffers) { add(t, "; %s values in buffers", grouped(buffers, c, sizeof c)); }
    add(t, "\n%s multiply-adds a sample forward\n", rounded(t->macs, a, sizeof a));
}

static void write_table(table *t, const tare_layer *model) {
    int longest = longest_name(model);
    t->name_width = longest < NAME_MIN ? NAME_MIN : longest > NAME_MAX ? NAME_MAX : longest;
    int rest = WIDTH - t->name_width - SHAPE - 2 * NUMBER - MACS - 5;
    char rule[WIDTH + 1];
    memset(rule, '-', WIDTH);
    rule[WIDTH] = 0;
    add(t, "%-*s %-*s %-*s %*s %*s %*s\n%s\n", t->name_width, "layer", rest, "what", SHAPE, "output", NUMBER,
        "parameters", NUMBER, "decayed", MACS, "MACs", rule);
    rows(t, model);
    add(t, "%s\n", rule);
    totals(t, model->params);
}

/* While it is watched each layer leaves an op of its own, which is what the table reads. */
static void see(void *context, const tare_layer *layer, const tare_tensor *x, const tare_tensor *y) {
    (void)context, (void)layer, (void)x, (void)y;
}

tare_status tare_summary(tare_layer *model, tare_shape sample, char **text) {
    tare_shape_buf buf;
    if (!model) { return tare_fail(TARE_EINVAL, "summary: the model is NULL"); }
    if (sample.ndim >= TARE_MAX_DIMS || tare_shape_numel(sample) < 1) {
        return tare_fail(TARE_EINVAL, "summary: %s is not the shape of a sample", tare_shape_text(sample, &buf));
    }
    tare_shape batch = { .ndim = sample.ndim + 1, .dim = { 1 } };
    for (int d = 0; d < sample.ndim; d++) { batch.dim[d + 1] = sample.dim[d]; }
    tare_tape *tape = tare_tape_new((tare_tape_opt){ .no_grad = true });
    if (!tape) { return TARE_ENOMEM; }
    tare_tape_watch_set(tape, &(const tare_watch){ see, NULL });
    tare_tensor *x = tare_input(tape, batch, NULL);
    if (x) { memset(x->data, 0, (size_t)x->numel * sizeof *x->data); }
    tare_forward(model, tape, x);
    tare_status status = tare_tape_status(tape);
    if (status) {
        tare_fail(status, "%s", tare_tape_error(tape));
    } else {
        table t = { .tape = tape };
        t.shown = tare_calloc((size_t)count(model), sizeof(tare_layer *));
        t.failed = !t.shown;
        if (t.shown) { write_table(&t, model); }
        tare_free(t.shown);
        if (t.failed) {
            tare_free(t.text);
            status = TARE_ENOMEM;
        } else {
            *text = t.text;
        }
    }
    tare_tape_free(tape);
    return status;
}
