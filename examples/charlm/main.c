/* main.c - tare charlm: trains a model of text, measures it, and lets it write. */
#include "charlm.h"

int fail(int code) {
    fprintf(stderr, "tare charlm: %s\n", tare_error());
    return code;
}

int main(int argc, char **argv) {
    options o = { 0 };
    tare_options *args =
        tare_options_new("charlm", TARE_DESCRIBE
                         "trains a transformer or a recurrent net on text, character by character, and lets it write");
    if (!args) { return fail(1); }
    int code = options_read(args, &o, argc, argv);
    if (code < 0) {
        tare_threads_set((int)o.run.threads);
        code = !o.eval ? train(&o, args) : o.write ? write_run(&o) : evaluate_run(&o);
    }
    tare_options_free(args);
    return tare_output_end("tare charlm", code);
}
