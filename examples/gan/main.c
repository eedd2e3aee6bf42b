/* main.c - tare gan: trains a generator against a discriminator, measures what it makes, and draws from it. */
#include "gan.h"

int fail(int code) {
    fprintf(stderr, "tare gan: %s\n", tare_error());
    return code;
}

int main(int argc, char **argv) {
    options o = { 0 };
    tare_options *args = tare_options_new("gan", TARE_DESCRIBE
                                          "trains a GAN on MNIST, Fashion-MNIST, a folder of images or 2-D mixtures");
    if (!args) { return fail(1); }
    int code = options_read(args, &o, argc, argv);
    if (code < 0) {
        tare_threads_set((int)o.run.threads);
        code = o.eval ? evaluate_run(&o) : train(&o, args);
    }
    tare_options_free(args);
    return tare_output_end("tare gan", code);
}
