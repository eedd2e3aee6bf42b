/* look.c - what is logged: the players' progress, and now and then samples, their measures, and D's singular values. */
#include "trainer.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

/* ---- "train" ----------------------------------------------------------------------------------------------------- */

/* The mean over the steps since the last one. */
tare_status log_train(trainer *t) {
    double d_n = (double)t->sums.d_n, g_n = (double)t->sums.g_n;
    double d_grad = t->sums.d_grad / d_n, g_grad = t->sums.g_grad / g_n;
    t->d_loss = t->sums.d_loss / d_n;
    t->g_loss = t->sums.g_loss / g_n;
    tare_status s =
        tare_run_log(t->run, "train",
                     TARE_FIELDS(TARE_NUMBER("step", t->step), TARE_NUMBER("d_loss", t->d_loss),
                                 TARE_NUMBER("g_loss", t->g_loss), TARE_NUMBER("d_real", t->sums.d_real / d_n),
                                 TARE_NUMBER("d_fake", t->sums.d_fake / d_n), TARE_NUMBER("d_grad_norm", d_grad),
                                 TARE_NUMBER("g_grad_norm", g_grad), TARE_NUMBER("lr", tare_optim_lr(t->g.optim)),
                                 TARE_NUMBER("lr_d", tare_optim_lr(t->d.optim)), TARE_NUMBER("seconds", t->seconds)));
    t->sums = (sums){ 0 };
    return s == TARE_OK ? check_gradients(t, d_grad, g_grad, t->d_loss) : s;
}

/* ---- "sigma" ----------------------------------------------------------------------------------------------------- */

/* The largest singular value of w as a matrix of outputs by the rest. */
static tare_status sigma_of(const tare_tensor *w, int out_dim, double *sigma) {
    int64_t rows = w->shape.dim[out_dim], cols = w->numel / rows, inner = 1;
    for (int d = out_dim + 1; d < w->shape.ndim; d++) { inner *= w->shape.dim[d]; }
    double *m = tare_malloc((size_t)(w->numel + (rows < cols ? rows : cols)) * sizeof *m);
    if (!m) { return TARE_ENOMEM; }
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < cols; c++) {
            m[r * cols + c] = (double)w->data[(c / inner * rows + r) * inner + c % inner];
        }
    }
    tare_status s = tare_singular_values(rows, cols, m, m + w->numel);
    *sigma = m[w->numel];
    tare_free(m);
    return s;
}

/* A line for each layer of D that has a weight: sigma of the weight it computes with. */
static tare_status log_layers(trainer *t, tare_layer *layer, double *largest) {
    tare_status s = TARE_OK;
    for (int i = 0; i < layer->n_children && s == TARE_OK; i++) { s = log_layers(t, layer->children[i], largest); }
    if (s != TARE_OK || !layer->weight || layer->weight->shape.ndim < 2) { return s; }
    double sigma = 0;
    tare_tape_reset(t->d.tape);
    tare_tensor *w = tare_layer_weight(layer, t->d.tape);
    if (!w) { return tape_status(t->d.tape); }
    s = sigma_of(w, layer->out_dim, &sigma);
    if (s != TARE_OK) { return s; }
    *largest = fmax(*largest, sigma);
    return tare_run_log(
        t->run, "sigma",
        TARE_FIELDS(TARE_NUMBER("step", t->step), TARE_TEXT("layer", layer->name), TARE_NUMBER("sigma", sigma)));
}

/* As in D's next step, power iteration included; then D is what it was. */
static tare_status log_sigma(trainer *t, double *largest) {
    tare_guard_keep(t->d.guard);
    tare_status s = log_layers(t, t->d.net, largest), back = tare_guard_restore(t->d.guard);
    return s == TARE_OK ? back : s;
}

/* ---- "sample" and "eval" ----------------------------------------------------------------------------------------- */

static tare_status draw_grid(trainer *t) {
    char file[64];
    snprintf(file, sizeof file, "samples/step-%06lld.png", (long long)t->step);
    const char *folder = tare_run_path(t->run, "samples");
    if (mkdir(folder, 0777) != 0 && errno != EEXIST) {
        return tare_fail(TARE_EIO, "%s: cannot be made: %s", folder, strerror(errno));
    }
    tare_status s = picture_grid(&t->sampler, tare_run_path(t->run, file));
    if (s != TARE_OK) { return s; }
    return tare_run_log(t->run, "sample", TARE_FIELDS(TARE_NUMBER("step", t->step), TARE_TEXT("file", file)));
}

/* The lowest Frechet distance; of points the most modes, and of those that hit as many the most points on them. */
static bool is_best(trainer *t, const metrics *m) {
    double value = isfinite(m->frechet)        ? m->frechet
                   : isfinite(m->high_quality) ? m->hit + m->high_quality
                                               : (double)NAN;
    bool lower = isfinite(m->frechet);
    if (!isfinite(value)) { return true; } /* nothing to tell by: the last one */
    if (isfinite(t->best) && (lower ? value >= t->best : value <= t->best)) { return false; }
    t->best = value;
    return true;
}

static void print_row(trainer *t, const metrics *m, double sigma) {
    char first[32] = "", second[32] = "", hit[32] = "";
    if (isfinite(m->high_quality)) { snprintf(first, sizeof first, "%.1f%%", 100 * m->high_quality); }
    if (isfinite(m->frechet)) { snprintf(first, sizeof first, "%.2f", m->frechet); }
    if (isfinite(m->inception)) { snprintf(second, sizeof second, "%.2f", m->inception); }
    if (isfinite(m->hit)) { snprintf(hit, sizeof hit, "%.0f/%.0f", m->hit, m->of); }
    tare_progress_print(t->progress, "%8lld %8.4g %8.4g %8.4g %9s %9s %8s %8.1f", (long long)t->step, t->d_loss,
                        t->g_loss, sigma, first, second, hit, t->seconds);
}

static tare_status log_eval(trainer *t, const metrics *m, double sigma) {
    tare_field fields[METRIC_FIELDS + 8] = { TARE_NUMBER("step", t->step), TARE_NUMBER("d_loss", t->d_loss),
                                             TARE_NUMBER("g_loss", t->g_loss), TARE_NUMBER("d_sigma", sigma) };
    int n = metrics_fields(m, &t->data.what, fields, 4);
    if (isfinite(t->best)) { fields[n++] = (tare_field)TARE_NUMBER("best", t->best); }
    fields[n++] = (tare_field)TARE_NUMBER("seconds", t->seconds);
    return tare_run_log(t->run, "eval", fields);
}

tare_status look(trainer *t) {
    double sigma = 0;
    if (t->sums.g_n > 0) { /* between two "train" events */
        t->d_loss = t->sums.d_loss / (double)t->sums.d_n;
        t->g_loss = t->sums.g_loss / (double)t->sums.g_n;
    }
    tare_status s = sampler_take(&t->sampler, t->g.ps, t->ema);
    if (s == TARE_OK) { s = judge_sampler(t->judge, &t->sampler, &t->last); }
    bool best = s == TARE_OK && is_best(t, &t->last);
    if (s == TARE_OK) { s = draw_grid(t); }
    if (s == TARE_OK) { s = log_sigma(t, &sigma); }
    if (s == TARE_OK) { s = log_eval(t, &t->last, sigma); }
    if (s != TARE_OK) { return s; }
    print_row(t, &t->last, sigma);
    s = check_samples(t, &t->last);
    if (s == TARE_OK && best) { s = tare_params_save(t->sampler.ps, tare_run_path(t->run, "best.safetensors")); }
    return s == TARE_OK ? trainer_save(t) : s;
}
