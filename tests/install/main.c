/* A user's program: ten lines against an installed Tare. */
#include <stdio.h>
#include <tare/tape.h>
#include <tare/ops.h>

int main(void) {
    tare_tape *t = tare_tape_new((tare_tape_opt){ .training = true });
    tare_tensor *x = tare_input(t, TARE_SHAPE(3), (tare_real[]){ 1, 2, 3 });
    x->requires_grad = true;
    tare_status status = tare_backward(t, tare_sum(t, tare_mul(t, x, x), 0, false));
    printf("%s: d(x.x)/dx = %g %g %g\n", tare_status_text(status), x->grad[0], x->grad[1], x->grad[2]);
    int wrong = status || x->grad[0] != 2 || x->grad[1] != 4 || x->grad[2] != 6;
    tare_tape_free(t);
    return wrong;
}
