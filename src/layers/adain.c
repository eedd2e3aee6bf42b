/* adain.c - adaptive instance norm: one image's channels take another's mean and spread. Made of ops.
 * Huang & Belongie 2017, arXiv:1703.06868, eq. 8 */
#include "planes.h"

tare_tensor *tare_adain(tare_tape *t, tare_tensor *content, tare_tensor *style, double eps) {
    tare__planes c, s;
    if (!tare__planes_of(t, "adain", content, &c) || !tare__planes_of(t, "adain", style, &s)) { return NULL; }
    if (s.channels != c.channels || s.shape.dim[0] != c.shape.dim[0]) {
        tare_shape_buf a, b;
        return tare_tape_fail(t, TARE_ESHAPE, "adain: content %s and style %s must agree in samples and channels",
                              tare_shape_text(c.shape, &a), tare_shape_text(s.shape, &b));
    }
    tare_instance_norm_opt opt = { .eps = eps };
    tare_tensor *mean = tare_mean(t, s.x, TARE_DIM(2), true), *off = tare_sub(t, s.x, mean);
    tare_tensor *hat = tare_instance_norm(t, s.x, NULL, NULL, opt);
    /* mean((x - mean) x-hat) is var / sqrt(var + eps): the deviation, and no square that could overflow */
    tare_tensor *products = tare__use_up(t, hat, tare__use_up(t, off, tare_mul(t, off, hat)));
    tare_tensor *deviation = tare__use_up(t, products, tare_mean(t, products, TARE_DIM(2), true));
    tare_tensor *y = tare_instance_norm(t, c.x, NULL, NULL, opt);
    if (!y || !deviation || !mean) { return NULL; }
    return tare__planes_back(t, &c, tare__planes_affine(t, &c, y, deviation, mean));
}
