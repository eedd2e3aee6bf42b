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

/* ---- what discriminators are made of ------------------------------------------------------------------------------- */

/* tare_layer_projection - the last layer of D: [N,C,...] -> scores [N,1]
 *   h = x summed over its positions;  s = w h + b + <e_k, h>,  k the class of the sample, as tare_condition says
 *   Children "linear" (weight [1,C], bias [1]) and "embed" (weight [classes,C], initially N(0, 1)); classes 0: no second term.
 *   `norm` is a norm spec, and what it says of weights is done to both ("sn"); NULL: nothing.
 *   errors (sticky)  TARE_EINVAL: channels < 1, classes < 0, the spec;  when run: TARE_ESHAPE, x is not [N,C,...];  TARE_EINVAL:
 *                    x has another number of samples than tare_condition gave, or a class is out of range
 *   source  Miyato & Koyama 2018, arXiv:1802.05637, fig. 1d */
TARE_API tare_layer *tare_layer_projection(tare_params *ps, const char *name, int64_t channels, int64_t classes,
                                           const char *norm);

/* tare_minibatch_stddev - one more channel that tells how much samples differ: [N,C,...] -> [N,C+1,...]
 *   Samples i, i + M, i + 2M, .. are a group, M = N / group. Over each group: the deviation sqrt(var + 1e-8) of each feature, var
 *   biased; then its mean over all features, one number, which fills the new channel of all samples of the group.
 *   group 0: 4;  at most N
 *   errors  TARE_EINVAL: group does not divide N;  TARE_ESHAPE: x is not [N,C,...]
 *   source  Karras et al. 2018, arXiv:1710.10196, section 3; groups: their StyleGAN, arXiv:1812.04948. It ties the samples of a
 *           batch together. */
TARE_API tare_tensor *tare_minibatch_stddev(tare_tape *t, tare_tensor *x, int64_t group);
TARE_API tare_layer *tare_layer_minibatch_stddev(tare_params *ps, const char *name, int64_t group);

/* ---- gradient penalty ---------------------------------------------------------------------------------------------- */

/* tare_gradient_penalty - a term for D's loss that keeps its slope in check, without derivatives of derivatives
 *   r1       weight / 2 * mean of |g|^2          on real samples           Mescheder et al. 2018, arXiv:1801.04406; weight 10
 *   wgan_gp  weight * mean of (|g| - 1)^2        on mixed ones, tare_mix   Gulrajani et al. 2017, arXiv:1704.00028; weight 10
 *   g is the gradient of D's scores to one sample, |g| its Euclidean norm, sample by sample.
 * Returns a scalar with the penalty's value; backward gives D's parameters the penalty's gradient. That is a difference:
 *     w = dP/dg as if g were free (weight g / N, or 2 weight (1 - 1/|g|) g / N), constant
 *     dP/dtheta = d/dh of dS(x + h w)/dtheta at 0  ~  [dS(x + h w) - dS(x - h w)] / (2 h dtheta),   S the sum of D's scores
 * so it costs three forwards of D and, with the later one, three backwards. D runs as in evaluation meanwhile: dropout is off, the
 * vectors of spectral norm stay. x is taken as a constant: nothing flows back to what made it.
 * Limits. The longest step is opt.step times the root mean square of |x_n|. Where D is smooth the error is of the order step^2,
 * and of rounding / step. At kinks (relu, leaky_relu) a weight's gradient jumps: the difference counts jumps within the step, as
 * the slope of the penalty averaged over such steps has them; derivatives of derivatives leave them out. Activations without kinks
 * (softplus, silu, elu, tanh) have no such term. For three convolutions on digits of 32 x 32, in float, the gradient was within
 * 1e-4 of theirs with silu; with leaky_relu the cosine between the two was 0.95 (r1) and 0.80 (wgan_gp), and worse with shorter
 * steps. A penalty on |g| makes no sense where a sample's score depends on the
 * others by batch statistics, so batch norm in D is refused.
 *   errors  TARE_EINVAL: a batch norm in D (or switchable norm), weight < 0, step < 0, a tape without gradients;  TARE_ESHAPE: x
 *           has no samples;  those of D */
typedef enum tare_gradient_penalty_kind { TARE_PENALTY_R1, TARE_PENALTY_WGAN_GP } tare_gradient_penalty_kind;
typedef struct tare_gradient_penalty_opt {
    tare_gradient_penalty_kind kind;
    double weight; /* 10; TARE_ZERO: 0 */
    double step;   /* 1e-2, in the double build 1e-4 */
} tare_gradient_penalty_opt;
TARE_API tare_tensor *tare_gradient_penalty(tare_tape *t, tare_layer *d, tare_tensor *x, tare_gradient_penalty_opt opt);

/* tare_mix - a x + (1 - a) y with an a in [0, 1) for each sample, drawn from *rng; x and y [N,...] of one shape, taken as
 * constants.   errors  TARE_ESHAPE */
TARE_API tare_tensor *tare_mix(tare_tape *t, const tare_tensor *x, const tare_tensor *y, tare_rng *rng);

/* ---- how good are the samples? --------------------------------------------------------------------------------------- */

/* tare_moments - mean [D] and covariance [D,D] (1 / (N - 1)) of features [N,D]; summed in double, in an order that shapes fix
 *   errors  TARE_ESHAPE: N < 2 or D < 1;  TARE_ENOMEM */
TARE_API tare_status tare_moments(int64_t n, int64_t d, const tare_real *features, double *mean, double *cov);

/* tare_frechet - the Frechet distance of two normal distributions:  |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))
 *   With features of Inception v3 this is the FID; with those of another net it is a number of its own, to be compared with nothing
 *   but itself. Estimated from N samples a side it is biased upwards, by about a / N with an a that depends on both sides: compare
 *   values of equal N, and say N. With N <= D the covariances are singular; the formula holds, the bias is large.
 *   (C1 C2)^(1/2) has the trace of (A C2 A)^(1/2), A = C1^(1/2), which is symmetric, so eigenvalues do, and rounding below 0 is 0.
 *   errors  TARE_ENONFINITE: NaN or Inf;  TARE_ESHAPE: d < 1;  TARE_ENOMEM
 *   source  Dowson & Landau 1982; Heusel et al. 2017, arXiv:1706.08500; bias: Chong & Forsyth 2020, arXiv:1911.07023 */
TARE_API tare_status tare_frechet(int64_t d, const double *mean1, const double *cov1, const double *mean2,
                                  const double *cov2, double *distance);
/* tare_frechet_distance - the same, of features [n1,D] and [n2,D]. */
TARE_API tare_status tare_frechet_distance(int64_t d, int64_t n1, const tare_real *features1, int64_t n2,
                                           const tare_real *features2, double *distance);

/* tare_inception_score - exp of the mean over samples of KL(p(y|x) | p(y)),  p(y) the mean of p(y|x): between 1 and K
 *   probabilities [N,K] of a classifier (softmax); rows in `splits` parts, one after the other and as equal as can be: *mean and *std
 *   (may be NULL) are over the parts. 1: the whole. Biased by N, as the distance.
 *   errors  TARE_ESHAPE: K < 1, splits < 1 or more than N;  TARE_ENONFINITE: a value not in [0, 1];  TARE_ENOMEM
 *   source  Salimans et al. 2016, arXiv:1606.03498 (there 10 parts of 5000) */
TARE_API tare_status tare_inception_score(int64_t n, int64_t k, const tare_real *probabilities, int64_t splits,
                                          double *mean, double *std);

#ifdef __cplusplus
}
#endif
#endif
