/* hello.c - a small net learns which of two spirals a point is on. */
#include <tare/tare.h>

#include <math.h>

enum { POINTS = 512 };

/* Two arms that wind around each other, with a little noise; label 0 or 1. */
static void make_spirals(tare_real *x, int32_t *label) {
    tare_rng rng = tare_rng_new(7, "spirals");
    for (int i = 0; i < POINTS; i++) {
        double r = 0.1 + 0.9 * tare_rng_uniform(&rng), angle = 7 * r + 3.14159265 * (i % 2);
        x[2 * i] = (tare_real)(r * cos(angle) + 0.02 * tare_rng_normal(&rng));
        x[2 * i + 1] = (tare_real)(r * sin(angle) + 0.02 * tare_rng_normal(&rng));
        label[i] = i % 2;
    }
}

int main(void) {
    static tare_real x[POINTS * 2];
    static int32_t label[POINTS];
    make_spirals(x, label);

    tare_params *ps = tare_params_new(1);
    tare_layer *layers[] = {
        tare_layer_linear(ps, "fc1", 2, 64, (tare_layer_linear_opt){ 0 }),
        tare_norm_layer(ps, "norm1", "bn", TARE_SHAPE(64)),
        tare_layer_relu(ps, NULL),
        tare_layer_linear(ps, "fc2", 64, 64, (tare_layer_linear_opt){ 0 }),
        tare_norm_layer(ps, "norm2", "bn", TARE_SHAPE(64)),
        tare_layer_relu(ps, NULL),
        tare_layer_linear(ps, "fc3", 64, 2, (tare_layer_linear_opt){ 0 }),
    };
    tare_layer *net = tare_layer_sequential(ps, "net", layers, 7);
    tare_optim *optim = tare_adamw_new(ps, (tare_adam_opt){ .lr = 1e-2 });
    tare_tape *tape = tare_tape_new((tare_tape_opt){ .training = true });

    tare_status status = optim && tape ? TARE_OK : TARE_ENOMEM;
    for (int step = 1; status == TARE_OK && step <= 300; step++) {
        tare_tape_reset(tape);
        tare_tensor *points = tare_input_view(tape, TARE_SHAPE(POINTS, 2), x);
        tare_tensor *logits = tare_forward(net, tape, points);
        tare_tensor *loss = tare_cross_entropy(tape, logits, label, (tare_cross_entropy_opt){ 0 });
        tare_params_zero_grad(ps);
        status = tare_backward(tape, loss);
        if (status == TARE_OK) { status = tare_optim_step(optim); }
        if (step % 50 == 0) { printf("step %3d  loss %.4f\n", step, tare_item(loss)); }
    }
    if (status != TARE_OK) { fprintf(stderr, "hello: %s\n", tare_error()); }

    tare_tape_free(tape);
    tare_optim_free(optim);
    tare_params_free(ps);
    return status == TARE_OK ? 0 : 1;
}
