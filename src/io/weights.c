/* weights.c - the parameters and buffers of one model, to a file and back. */
#include "io.h"

void tare__save_tensor(void *writer, const char *name, tare_shape shape, tare_real *data) {
    tare_writer_tensor(writer, name, TARE_DTYPE_REAL, shape, data);
}

tare_status tare_params_save(const tare_params *ps, const char *path) {
    tare_writer *w = tare_writer_new();
    tare__visitor v = { .visit = tare__save_tensor, .context = w };
    tare_writer_meta(w, TARE__FORMAT_KEY, TARE__FORMAT);
    tare_writer_meta(w, "tare.version", TARE_VERSION);
    tare__visit_params(&v, "", ps);
    tare_status status = v.name.failed ? tare_fail(TARE_ENOMEM, "%s: out of memory", path) : tare_writer_save(w, path);
    tare_free(v.name.data);
    tare_writer_free(w);
    return status;
}

/* A name that memory was too short for was not looked up, and none of the rest: so the second visit, which has the memory
 * of the first, cannot come upon a new one. */
static tare_status load(tare_params *ps, const tare_reader *reader, const char *prefix, bool partial) {
    tare__fit fit;
    tare_status status = tare__fit_begin(&fit, reader, partial);
    tare__visitor v = { .visit = tare__fit_want, .context = &fit };
    if (!status) {
        tare__visit_params(&v, prefix, ps);
        tare__fit_rest(&fit, prefix);
        status = v.name.failed ? TARE_ENOMEM : tare__fit_status(&fit);
    }
    if (!status) {
        v.visit = tare__fit_copy;
        tare__visit_params(&v, prefix, ps);
    }
    tare_free(v.name.data);
    tare__fit_free(&fit);
    return status;
}

tare_status tare_params_load(tare_params *ps, const char *path, tare_load_opt opt) {
    tare_reader *reader = NULL;
    tare_status status = tare_reader_open(path, &reader);
    if (!status) { status = tare__format_check(reader); }
    if (!status) { status = load(ps, reader, opt.prefix ? opt.prefix : "", opt.partial); }
    tare_reader_free(reader);
    return status;
}
