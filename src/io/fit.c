/* fit.c - whether the tensors a model wants are those that a file has, with a table of all that does not fit. */
#include "io.h"

#include <string.h>

enum { ROWS = 20 };

/* ---- visiting ---------------------------------------------------------------------------------------------------- */

static void visit(tare__visitor *v, const char *prefix, const char *name, tare_shape shape, tare_real *data) {
    v->name.size = 0;
    tare__text_add(&v->name, prefix);
    tare__text_add(&v->name, *prefix ? "." : "");
    tare__text_add(&v->name, name);
    if (!v->name.failed) { v->visit(v->context, v->name.data, shape, data); }
}

void tare__visit_flat(tare__visitor *v, const char *prefix, const tare_params *ps, tare_real *flat) {
    for (int i = 0; i < tare_params_count(ps); i++) {
        const tare_tensor *p = tare_params_at(ps, i);
        visit(v, prefix, p->name, p->shape, flat + tare_params_offset(ps, i));
    }
}

void tare__visit_buffers(tare__visitor *v, const char *prefix, const tare_params *ps, tare_real *flat) {
    for (int i = 0; i < tare_params_buffers(ps); i++) {
        const tare_tensor *p = tare_params_buffer_at(ps, i);
        visit(v, prefix, p->name, p->shape, flat + (p->data - tare_params_buffer_flat(ps)));
    }
}

void tare__visit_params(tare__visitor *v, const char *prefix, const tare_params *ps) {
    tare__visit_flat(v, prefix, ps, tare_params_flat(ps));
    tare__visit_buffers(v, prefix, ps, tare_params_buffer_flat(ps));
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

tare_status tare__fit_begin(tare__fit *f, const tare_reader *reader, bool partial) {
    *f = (tare__fit){ .reader = reader, .partial = partial };
    f->taken = tare_calloc((size_t)tare_reader_count(reader) + 1, sizeof *f->taken);
    return f->taken ? TARE_OK : TARE_ENOMEM;
}

void tare__fit_free(tare__fit *f) {
    tare_free(f->taken);
    tare_free(f->rows.data);
}

static void add_row(tare__fit *f, const char *kind, const char *name, const char *note) {
    tare__shown shown;
    if (f->shown == ROWS) { return; }
    f->shown++;
    tare__text_format(&f->rows, "\n  %-10s  %s  %s", kind, tare__show(name, &shown), note);
}

void tare__fit_want(void *fit, const char *name, tare_shape shape, tare_real *data) {
    tare__fit *f = fit;
    (void)data;
    tare_shape_buf ours, theirs;
    const tare_entry *e = tare_reader_find(f->reader, name);
    if (!e && f->partial) { return; }
    if (!e) {
        f->missing++;
        add_row(f, "missing", name, tare_shape_text(shape, &ours));
        return;
    }
    f->taken[e - tare_reader_at(f->reader, 0)] = true;
    if (!tare_shape_equal(e->shape, shape)) {
        char note[sizeof ours + sizeof theirs + 32];
        snprintf(note, sizeof note, "%s in the file, %s here", tare_shape_text(e->shape, &theirs),
                 tare_shape_text(shape, &ours));
        f->misshapen++;
        add_row(f, "misshapen", name, note);
    }
}

/* PyTorch counts BatchNorm's batches in a tensor that nothing here needs. */
static bool is_batch_count(const char *name) {
    static const char suffix[] = ".num_batches_tracked";
    size_t n = strlen(name), m = sizeof suffix - 1;
    return n >= m && strcmp(name + n - m, suffix) == 0;
}

void tare__fit_rest(tare__fit *f, const char *prefix) {
    size_t length = strlen(prefix);
    for (int64_t i = 0; !f->partial && i < tare_reader_count(f->reader); i++) {
        const tare_entry *e = tare_reader_at(f->reader, i);
        bool ours = length ? strncmp(e->name, prefix, length) == 0 && e->name[length] == '.' : e->name[0] != '@';
        if (f->taken[i] || !ours || is_batch_count(e->name)) { continue; }
        tare_shape_buf buf;
        f->taken[i] = true;
        f->unexpected++;
        add_row(f, "unexpected", e->name, tare_shape_text(e->shape, &buf));
    }
}

static void count_text(tare__text *t, int64_t n, const char *what) {
    if (n) { tare__text_format(t, "%s%lld %s", t->size ? ", " : "", (long long)n, what); }
}

tare_status tare__fit_status(const tare__fit *f) {
    int64_t rows = f->missing + f->unexpected + f->misshapen;
    if (rows == 0) { return TARE_OK; }
    tare__text counts = { 0 };
    count_text(&counts, f->missing, "missing");
    count_text(&counts, f->unexpected, "unexpected");
    count_text(&counts, f->misshapen, "misshapen");
    char tail[48] = "";
    if (rows > f->shown) { snprintf(tail, sizeof tail, "\n  ... and %lld more", (long long)(rows - f->shown)); }
    tare_status status = TARE_ENOMEM;
    if (!counts.failed && !f->rows.failed) {
        status = tare_fail(TARE_EMISMATCH, "%s does not fit the model: %s%s%s", tare_reader_path(f->reader),
                           counts.data, f->rows.data, tail);
    }
    tare_free(counts.data);
    return status;
}

void tare__fit_copy(void *fit, const char *name, tare_shape shape, tare_real *data) {
    const tare__fit *f = fit;
    const tare_entry *e = tare_reader_find(f->reader, name);
    (void)shape;
    if (e) { tare_entry_real(e, data); }
}

tare_status tare__format_check(const tare_reader *reader) {
    const char *text = tare_reader_meta(reader, TARE__FORMAT_KEY);
    uint64_t ours = 0, theirs = 0;
    if (!text) { return TARE_OK; }
    if (!tare__exact_parse_uint(text, &theirs)) {
        return tare_fail(TARE_EFORMAT, "%s: metadata \"" TARE__FORMAT_KEY "\" is not a number",
                         tare_reader_path(reader));
    }
    tare__exact_parse_uint(TARE__FORMAT, &ours);
    if (theirs <= ours) { return TARE_OK; }
    return tare_fail(TARE_EMISMATCH, "%s: written by a newer Tare: format %llu, this one reads up to " TARE__FORMAT,
                     tare_reader_path(reader), (unsigned long long)theirs);
}
