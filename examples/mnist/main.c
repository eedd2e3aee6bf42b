/* main.c - tare mnist: trains an image classifier, evaluates it, and classifies pictures with it. */
#include "mnist.h"

int fail(int code) {
    fprintf(stderr, "tare mnist: %s\n", tare_error());
    return code;
}

int main(int argc, char **argv) {
    options o = { 0 };
    tare_options *args = tare_options_new("mnist", TARE_DESCRIBE
                                          "trains an image classifier on MNIST, Fashion-MNIST or a folder of images");
    if (!args) { return fail(1); }
    int code = options_read(args, &o, argc, argv);
    if (code < 0) {
        tare_threads_set((int)o.run.threads);
        code = o.predict.count > 0 ? predict_files(&o) : o.eval ? evaluate_run(&o) : train(&o, args);
    }
    tare_options_free(args);
    return tare_output_end("tare mnist", code);
}
