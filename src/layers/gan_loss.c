/* gan_loss.c - what discriminator and generator minimise: means over scores, made of the losses that there are. */
#include <tare/gan.h>

#include <string.h>

static const char *const names[] = { "hinge", "logistic", "least_squares", "wasserstein" };
enum { KINDS = sizeof names / sizeof names[0] };

/* As many of a number as there are scores. */
static tare_tensor *all(tare_tape *t, const tare_tensor *scores, double value) {
    tare_tensor *y = tare_input(t, scores->shape, NULL);
    for (int64_t i = 0; y && i < y->numel; i++) { y->data[i] = (tare_real)value; }
    return y;
}

/* The mean of sign * s. */
static tare_tensor *signed_mean(tare_tape *t, tare_tensor *s, double sign) {
    tare_tensor *mean = tare_mean(t, s, 0, false);
    return sign < 0 ? tare_scale(t, mean, -1) : mean;
}

static tare_status check(const tare_tensor *scores, tare_gan_loss_kind kind, tare_gan_role role) {
    if ((int)kind < 0 || (int)kind >= KINDS) { return tare_fail(TARE_EINVAL, "gan_loss: no loss %d", (int)kind); }
    if ((int)role < 0 || role > TARE_GAN_G) {
        return tare_fail(TARE_EINVAL, "gan_loss: role %d is none of TARE_GAN_D_REAL, TARE_GAN_D_FAKE and TARE_GAN_G",
                         (int)role);
    }
    if (scores->numel == 0) {
        tare_shape_buf buf;
        return tare_fail(TARE_ESHAPE, "gan_loss: scores %s have no mean", tare_shape_text(scores->shape, &buf));
    }
    return TARE_OK;
}

tare_tensor *tare_gan_loss(tare_tape *t, tare_tensor *scores, tare_gan_loss_kind kind, tare_gan_role role) {
    if (!scores) { return NULL; }
    tare_status status = check(scores, kind, role);
    if (status) { return tare_tape_fail(t, status, "%s", tare_error()); }
    bool real = role != TARE_GAN_D_FAKE; /* what the player wants the scores to say */
    switch (kind) {
    case TARE_GAN_HINGE:
        if (role == TARE_GAN_G) { return signed_mean(t, scores, -1); }
        return tare_hinge(t, scores, all(t, scores, real ? 1 : -1), TARE_MEAN);
    case TARE_GAN_LOGISTIC: return tare_bce_with_logits(t, scores, all(t, scores, real), TARE_MEAN);
    case TARE_GAN_LEAST_SQUARES: return tare_scale(t, tare_mse(t, scores, all(t, scores, real), TARE_MEAN), 0.5);
    case TARE_GAN_WASSERSTEIN: return signed_mean(t, scores, real ? -1 : 1);
    }
    return NULL;
}

const char *tare_gan_loss_name(tare_gan_loss_kind kind) {
    return (int)kind >= 0 && (int)kind < KINDS ? names[kind] : NULL;
}

tare_status tare_gan_loss_parse(const char *name, tare_gan_loss_kind *kind) {
    for (int i = 0; name && i < KINDS; i++) {
        if (strcmp(names[i], name) == 0) {
            *kind = (tare_gan_loss_kind)i;
            return TARE_OK;
        }
    }
    return tare_fail(TARE_EINVAL, "no GAN loss \"%s\": there are hinge, logistic, least_squares and wasserstein",
                     name ? name : "");
}
