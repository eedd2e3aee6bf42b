/* collapse.c - training that goes on but has failed: each way to fail is named once in the log, and training goes on. */
#include "trainer.h"

#include <math.h>

typedef enum kind { ONE_MODE, D_AT_ZERO, EXPLODING, NONFINITE } kind;

static const char *const names[] = { "one_mode", "d_at_zero_loss", "exploding_gradients", "nonfinite" };

static tare_status name(trainer *t, kind k, int64_t step, const char *why) {
    if (t->health.named & ((int64_t)1 << k)) { return TARE_OK; }
    t->health.named |= (int64_t)1 << k;
    if (k != NONFINITE) { tare_progress_print(t->progress, "collapse, step %lld: %s", (long long)step, why); }
    return tare_run_log(t->run, "collapse",
                        TARE_FIELDS(TARE_NUMBER("step", step), TARE_TEXT("kind", names[k]), TARE_TEXT("reason", why)));
}

static bool exploded(double norm, double at_first) { return norm > 1e6 || norm > 1000 * fmax(at_first, 0.01); }

/* Gradients a thousand times as long as in the first steps, or a D that has nothing left to learn: G's gradient is no guide
 * then. */
tare_status check_gradients(trainer *t, double d_grad, double g_grad, double d_loss) {
    char why[160];
    tare_status s = TARE_OK;
    if (t->health.d_grad <= 0) {
        t->health.d_grad = d_grad;
        t->health.g_grad = g_grad;
    }
    if (t->loss != TARE_GAN_WASSERSTEIN && d_loss < 0.01) {
        snprintf(why, sizeof why, "the discriminator is at zero loss (%.2g): it tells every sample", d_loss);
        s = name(t, D_AT_ZERO, t->step, why);
    }
    bool d = exploded(d_grad, t->health.d_grad), g = exploded(g_grad, t->health.g_grad);
    if (s == TARE_OK && (d || g)) {
        snprintf(why, sizeof why, "%s gradient has length %.3g, after %.3g in the first steps", d ? "D's" : "G's",
                 d ? d_grad : g_grad, d ? t->health.d_grad : t->health.g_grad);
        s = name(t, EXPLODING, t->step, why);
    }
    return s;
}

/* Nearly all samples of one kind, or hardly different from each other; in the first quarter of a run that may be. */
tare_status check_samples(trainer *t, const metrics *m) {
    char why[160];
    if (t->step * 4 < t->o->steps) { return TARE_OK; }
    if (m->largest > 0.9 && m->of > 1) {
        snprintf(why, sizeof why, "%.0f%% of the samples are of one %s", 100 * m->largest,
                 t->data.what.toy ? "mode" : "class");
        return name(t, ONE_MODE, t->step, why);
    }
    if (m->spread < 0.1) {
        snprintf(why, sizeof why, "samples differ from each other %.2g times as much as real ones", m->spread);
        return name(t, ONE_MODE, t->step, why);
    }
    return TARE_OK;
}

tare_status name_nonfinite(trainer *t, const char *why) {
    tare_status s =
        tare_run_log(t->run, "nonfinite", TARE_FIELDS(TARE_NUMBER("step", t->step + 1), TARE_TEXT("reason", why)));
    return s == TARE_OK ? name(t, NONFINITE, t->step + 1, why) : s;
}
