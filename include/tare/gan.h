/* tare/gan.h - adversarial training: losses of the two players, and what discriminators are made of.
 *
 * D gives each sample a score s, one number without an activation behind it; high says real. Real and fake samples go through
 * D apart, so that a norm of batches in D sees one kind at a time. One step of each player, with the nets' parameters in two
 * tare_params and an optimizer for each:
 *
 *     tare_params_freeze(g_ps, true);                               D's step: G stays
 *     fake = tare_detach(tape, tare_forward(G, tape, z));
 *     loss = tare_add(tape, tare_gan_loss(tape, tare_forward(D, tape, real), kind, TARE_GAN_D_REAL),
 *                           tare_gan_loss(tape, tare_forward(D, tape, fake), kind, TARE_GAN_D_FAKE));
 *     tare_backward(tape, loss); tare_optim_step(d_optim); tare_params_freeze(g_ps, false);
 *
 *     tare_params_freeze(d_ps, true);                               G's step: D's weights, statistics and singular vectors stay
 *     loss = tare_gan_loss(tape, tare_forward(D, tape, tare_forward(G, tape, z)), kind, TARE_GAN_G);
 *     tare_backward(tape, loss); tare_optim_step(g_optim); tare_params_freeze(d_ps, false);
 */
#ifndef TARE_GAN_H
#define TARE_GAN_H

#include <tare/norms.h>
#include <tare/optim.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- losses -------------------------------------------------------------------------------------------------------- */

/* tare_gan_loss_kind - with s the scores:  D's loss is that of real samples plus that of fake ones
 *                    D, real           D, fake          G
 *   hinge            max(0, 1 - s)     max(0, 1 + s)    -s            Lim & Ye 2017, arXiv:1705.02894
 *   logistic         softplus(-s)      softplus(s)      softplus(-s)  Goodfellow et al. 2014, arXiv:1406.2661 (non-saturating)
 *   least_squares    (s - 1)^2 / 2     s^2 / 2          (s - 1)^2 / 2 Mao et al. 2017, arXiv:1611.04076, eq. 9
 *   wasserstein      -s                s                -s            Arjovsky et al. 2017, arXiv:1701.07875
 * The last one needs a D of bounded slope: tare_clip_weights after each of its steps, spectral norm, or a gradient penalty. */
typedef enum tare_gan_loss_kind {
    TARE_GAN_HINGE,
    TARE_GAN_LOGISTIC,
    TARE_GAN_LEAST_SQUARES,
    TARE_GAN_WASSERSTEIN,
} tare_gan_loss_kind;

/* Whose loss, on what. */
typedef enum tare_gan_role { TARE_GAN_D_REAL, TARE_GAN_D_FAKE, TARE_GAN_G } tare_gan_role;

/* tare_gan_loss - the mean over the scores, of any shape: [N], [N,1], or a map of them;  returns a scalar
 *   errors  TARE_EINVAL: no such kind or role;  TARE_ESHAPE: no scores */
TARE_API tare_tensor *tare_gan_loss(tare_tape *t, tare_tensor *scores, tare_gan_loss_kind kind, tare_gan_role role);

/* tare_gan_loss_name - "hinge", "logistic", "least_squares", "wasserstein"; NULL beyond them.
 * tare_gan_loss_parse - the other way round;   errors  TARE_EINVAL: unknown (the message lists the known ones); *kind stays */
TARE_API const char *tare_gan_loss_name(tare_gan_loss_kind kind);
TARE_API tare_status tare_gan_loss_parse(const char *name, tare_gan_loss_kind *kind);

#ifdef __cplusplus
}
#endif
#endif
