/* gan.h - what the files of this program share. Read main.c, data.c, model.c, train.c, metrics.c, in that order. */
#ifndef GAN_H
#define GAN_H

#include <tare/tare.h>

/* Everything the command line decides; options.c has the table that fills it. */
typedef struct options {
    /* data */
    const char *data;
    int64_t size, limit;
    /* nets */
    const char *g_norm, *d_norm, *upsample;
    int64_t z_dim, width;
    bool classes, minibatch_stddev;
    /* learning */
    const char *loss;
    double lr_g, lr_d, beta1, beta2, ema, clip_weights, gp, r1, seconds;
    int64_t steps, batch, n_dis;
    /* looking */
    int64_t sample_every, eval_samples;
    /* what to do instead of training */
    const char *eval, *png;
    int64_t sample, sample_seed, sample_class;
    /* the run's folder, seed, threads, output */
    tare_run_opt run;
    /* where the time and memory of a step go */
    tare_profile_opt look;
} options;

/* Exit codes: 1 a failed run, 2 usage, 3 a loss or gradient is NaN or Inf. */
enum { EXIT_USAGE = 2, EXIT_NONFINITE = 3 };

/* options.c: -1, or the code to exit with (usage errors, --help). */
int options_read(tare_options *args, options *o, int argc, char **argv);

/* ---- toy.c: mixtures of Gaussians in the plane --------------------------------------------------------------------- */

typedef struct toy {
    const char *name, *about;
    int64_t modes;
    double spacing; /* ring: its radius; grid: from mode to mode */
    double sigma;   /* of each mode, along each axis */
} toy;

const toy *toy_find(const char *name); /* NULL: there is none */
void toy_centre(const toy *t, int64_t mode, double centre[2]);
tare_status toy_dataset(const toy *t, tare_dataset **out);

/* ---- data.c: what is to be imitated -------------------------------------------------------------------------------- */

/* Saved with the run, so that sampling needs no data. */
typedef struct subject {
    tare_shape shape;  /* of a sample: [C,H,W] or [2] */
    int64_t classes;   /* of the labels; 1: there are none */
    char *class_names; /* one to a line */
    const toy *toy;    /* NULL: pictures */
} subject;

typedef struct data {
    subject what;
    tare_dataset *train, *test; /* test: NULL for points and unlabelled pictures */
} data;

tare_status data_open(data *d, const options *o);
void data_close(data *d);
/* Batches of `of` as the nets see them: pictures from -1 to 1. */
tare_status data_loader(const data *d, const tare_dataset *of, tare_loader_opt opt, tare_loader **out);
tare_status subject_file(subject *s, const options *o, const char *path, bool save);
void subject_free(subject *s);
/* The name of class k; k itself where it has none. */
const char *class_name(const subject *s, int64_t k, char *buffer, size_t size);

/* ---- model.c ------------------------------------------------------------------------------------------------------- */

/* G: z [N,z_dim] -> samples [N,...].   D: samples -> scores [N,1]; high says real. */
tare_layer *generator_new(tare_params *ps, const options *o, const subject *what);
tare_layer *discriminator_new(tare_params *ps, const options *o, const subject *what);
/* Runs G or D; labels (n of them) matter where the net is conditional. */
tare_tensor *net_forward(tare_layer *net, tare_tape *tape, tare_tensor *x, const int32_t *labels);
/* tare_params_status with its message. */
tare_status params_status(const tare_params *ps);
tare_status tape_status(const tare_tape *tape);

/* ---- sampler.c: samples of a generator ----------------------------------------------------------------------------- */

/* A copy of G in evaluation mode; with --ema its weights are the averaged ones, and batch norm's statistics are taken anew. */
typedef struct sampler {
    const options *o;
    const subject *what;
    tare_params *ps;
    tare_layer *g;
    tare_tape *tape;
    tare_real *z;
    int32_t *labels;
} sampler;

tare_status sampler_new(sampler *s, const options *o, const subject *what);
void sampler_free(sampler *s);
/* sampler_take - the weights and statistics of `live`; ema (NULL: none) instead of its weights. */
tare_status sampler_take(sampler *s, const tare_params *live, const tare_ema *ema);
/* sampler_load - those of the run in this folder: its best, or its last where nothing was measured yet. */
tare_status sampler_load(sampler *s, const char *folder);
/* sampler_draw - n samples for the `purpose` under `seed`, the same every time, into out [n,...]; labels NULL: any class. */
tare_status sampler_draw(sampler *s, const char *purpose, uint64_t seed, int64_t n, const int32_t *labels,
                         tare_real *out);
/* sampler_run - the samples of these z [n,z_dim]. */
tare_status sampler_run(sampler *s, const tare_real *z, const int32_t *labels, int64_t n, tare_real *out);
/* n standard normal z, one generator for each, so that the first few are the same whatever n is. */
void draw_z(uint64_t seed, const char *purpose, uint64_t batch, int64_t n, int64_t z_dim, tare_real *z);
void draw_labels(uint64_t seed, const char *purpose, uint64_t batch, int64_t n, int64_t classes, int32_t *labels);

/* ---- pictures.c ---------------------------------------------------------------------------------------------------- */

/* A grid of fixed z, a row for each class where G is conditional. */
tare_status picture_grid(sampler *s, const char *path);
/* From z to z along the sphere, a row for each pair. Pictures alone. */
tare_status picture_interpolation(sampler *s, const char *path);
/* `n` new samples, of one class where that is not negative. */
tare_status picture_new(sampler *s, const char *path, int64_t n, uint64_t seed, int64_t only);

/* ---- train.c, evaluate.c, main.c ----------------------------------------------------------------------------------- */

int train(const options *o, const tare_options *args);
int evaluate_run(const options *o);
/* Prints the library's message; returns `code`. */
int fail(int code);

#endif
