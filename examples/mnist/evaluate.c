/* evaluate.c - how good a model is, and what it says about pictures. */
#include "mnist.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How many rows of logits [N,K] are largest at their label; counted per class too where per_class is not NULL. */
int64_t count_correct(const tare_tensor *logits, const int32_t *labels, score *per_class) {
    int64_t classes = logits->shape.dim[1], correct = 0;
    for (int64_t n = 0; n < logits->shape.dim[0]; n++) {
        const tare_real *row = logits->data + n * classes;
        int64_t best = 0;
        for (int64_t k = 1; k < classes; k++) {
            if (row[k] > row[best]) { best = k; }
        }
        correct += best == labels[n];
        if (per_class && labels[n] < SCORE_CLASSES) {
            per_class->count[labels[n]]++;
            per_class->correct[labels[n]] += best == labels[n];
        }
    }
    return correct;
}

/* ---- over a data set --------------------------------------------------------------------------------------------- */

/* The batch on the tape, each image with `contrast` times its differences from its own mean. */
static tare_tensor *input(tare_tape *tape, const tare_batch *b, double contrast) {
    if (contrast == 1) { return tare_input_view(tape, b->shape, b->x); }
    tare_tensor *x = tare_input(tape, b->shape, NULL);
    int64_t size = x ? x->numel / b->n : 0;
    for (int64_t n = 0; x && n < b->n; n++) {
        const tare_real *from = b->x + n * size;
        tare_real *to = x->data + n * size;
        double mean = 0;
        for (int64_t i = 0; i < size; i++) { mean += (double)from[i]; }
        mean /= (double)size;
        for (int64_t i = 0; i < size; i++) { to[i] = (tare_real)(mean + contrast * ((double)from[i] - mean)); }
    }
    return x;
}

/* One pass of the loader, over its batches of `least` samples or more. */
static tare_status pass(tare_layer *model, tare_tape *tape, tare_loader *loader, int64_t least, double contrast,
                        tare_confusion *confusion, score *out) {
    *out = (score){ 0 };
    int64_t correct = 0, seen = 0;
    tare_batch b;
    while (tare_loader_next(loader, &b)) {
        if (b.n < least) { continue; }
        tare_tape_reset(tape);
        tare_tensor *logits = tare_forward(model, tape, input(tape, &b, contrast));
        tare_tensor *loss = tare_cross_entropy(tape, logits, b.labels, (tare_cross_entropy_opt){ 0 });
        if (!loss) { return tare_fail(tare_tape_status(tape), "%s", tare_tape_error(tape)); }
        out->loss += tare_item(loss) * (double)b.n;
        correct += count_correct(logits, b.labels, out);
        if (confusion) { tare_confusion_add(confusion, logits->data, b.labels, b.n, seen); }
        seen += b.n;
    }
    out->loss /= (double)seen;
    out->accuracy = (double)correct / (double)seen;
    return tare_loader_status(loader);
}

/* Mean loss and accuracy over one pass of the loader, on a tape in evaluation mode; `confusion` (NULL: none) is filled. */
tare_status evaluate(tare_layer *model, tare_tape *tape, tare_loader *loader, tare_confusion *confusion, score *out) {
    if (confusion) { tare_confusion_reset(confusion); }
    return pass(model, tape, loader, 1, 1, confusion, out);
}

/* Accuracy on images whose contrast is not what it was in training. */
tare_status evaluate_contrast(tare_layer *model, tare_tape *tape, tare_loader *loader, double contrast,
                              double *accuracy) {
    score changed;
    tare_status s = pass(model, tape, loader, 1, contrast, NULL, &changed);
    *accuracy = changed.accuracy;
    return s;
}

/* Accuracy where batch norm takes the statistics of each test batch; NaN without batch norm, or where a batch is too short to
 * have any. A last batch of one sample is passed over, unless all are of one. */
tare_status evaluate_by_batch(tare_layer *model, tare_tape *tape, tare_loader *loader, double *accuracy) {
    score by_batch;
    *accuracy = (double)NAN;
    if (tare_batch_statistics(model, true) == 0) { return TARE_OK; }
    int64_t least = tare_loader_batches(loader) < tare_loader_samples(loader) ? 2 : 1;
    tare_status s = pass(model, tape, loader, least, 1, NULL, &by_batch);
    tare_batch_statistics(model, false);
    if (s == TARE_OK) { *accuracy = by_batch.accuracy; }
    return s == TARE_ESHAPE ? TARE_OK : s;
}

/* The two accuracies in a line, with a warning where they are far apart. */
void compare_text(double running, double by_batch, char *text, size_t size) {
    int used = snprintf(text, size, "with running statistics %.2f%%, with each batch's own %.2f%%", 100 * running,
                        100 * by_batch);
    if (fabs(running - by_batch) <= 0.02 || used < 0 || (size_t)used >= size) { return; }
    snprintf(
        text + used, size - (size_t)used,
        "\nwarning: the running statistics do not fit these weights; train longer, raise bn:stat_update, or use gn");
}

/* ---- what the model takes ---------------------------------------------------------------------------------------- */

/* Writes or reads input.safetensors, a checkpoint of numbers and names alone. */
tare_status input_spec_file(input_spec *in, const char *path, bool save) {
    tare_checkpoint *c = tare_checkpoint_new();
    if (!c) { return TARE_ENOMEM; }
    tare_checkpoint_int(c, "channels", &in->channels);
    tare_checkpoint_int(c, "height", &in->height);
    tare_checkpoint_int(c, "width", &in->width);
    tare_checkpoint_int(c, "classes", &in->classes);
    for (int i = 0; i < TARE_DATA_CHANNELS; i++) {
        char mean[] = "mean.0", std[] = "std.0";
        mean[5] = std[4] = (char)('0' + i);
        tare_checkpoint_double(c, mean, &in->mean[i]);
        tare_checkpoint_double(c, std, &in->std[i]);
    }
    tare_checkpoint_text(c, "class_names", &in->class_names);
    tare_status s = save ? tare_checkpoint_save(c, path) : tare_checkpoint_load(c, path);
    tare_checkpoint_free(c);
    return s;
}

/* ---- a finished run ---------------------------------------------------------------------------------------------- */

typedef struct finished {
    input_spec in;
    tare_params *ps;
    tare_layer *model;
    tare_tape *tape;
} finished;

static void finished_free(finished *f) {
    tare_tape_free(f->tape);
    tare_params_free(f->ps);
    tare_free(f->in.class_names);
}

/* The model of the run in o->eval with its best weights, or the last ones where no epoch was completed. */
static tare_status finished_load(finished *f, const options *o) {
    char path[4096];
    snprintf(path, sizeof path, "%s/input.safetensors", o->eval);
    tare_status s = input_spec_file(&f->in, path, false);
    if (s != TARE_OK) { return s; }
    f->ps = tare_params_new((uint64_t)o->run.seed);
    f->tape = tare_tape_new((tare_tape_opt){ .no_grad = true });
    if (!f->ps || !f->tape) { return TARE_ENOMEM; }
    f->model = model_new(f->ps, o, &f->in);
    s = tare_params_status(f->ps);
    if (s != TARE_OK) { return tare_fail(s, "%s", tare_params_error(f->ps)); }
    snprintf(path, sizeof path, "%s/best.safetensors", o->eval);
    if (access(path, R_OK) != 0) { snprintf(path, sizeof path, "%s/last.safetensors", o->eval); }
    return tare_params_load_finite(f->ps, path, (tare_load_opt){ 0 });
}

/* The name of class k, from the list that has one to a line. */
static const char *class_name(const input_spec *in, int64_t k, char *buffer, size_t size) {
    const char *s = in->class_names ? in->class_names : "";
    for (; k > 0 && *s; k--) { s += strcspn(s, "\n") + (s[strcspn(s, "\n")] != '\0'); }
    snprintf(buffer, size, "%.*s", (int)strcspn(s, "\n"), s);
    return buffer;
}

/* Test images in their order, `batch` at a time. */
tare_status test_loader_new(const options *o, const input_spec *in, const tare_dataset *test, int64_t batch,
                            tare_loader **loader) {
    tare_shape image = image_shape(o, in);
    tare_loader_opt opt = { .batch = batch, .limit = o->test_limit, .height = image.dim[1], .width = image.dim[2] };
    return tare_loader_new(test, opt, loader);
}

static tare_status open_test_data(const options *o, const input_spec *in, tare_dataset **test) {
    tare_dataset *unused = NULL;
    tare_data_opt size = { .channels = in->channels, .height = in->height, .width = in->width };
    tare_status s = tare_data_open(o->data, size, &unused, test);
    if (s != TARE_OK) { return s; }
    tare_dataset_free(unused);
    if ((*test)->classes != in->classes || (*test)->channels != in->channels || (*test)->height != in->height ||
        (*test)->width != in->width) {
        return tare_fail(TARE_EMISMATCH,
                         "%s: [%lld,%lld,%lld] in %lld classes; the model takes [%lld,%lld,%lld] in %lld", o->data,
                         (long long)(*test)->channels, (long long)(*test)->height, (long long)(*test)->width,
                         (long long)(*test)->classes, (long long)in->channels, (long long)in->height,
                         (long long)in->width, (long long)in->classes);
    }
    memcpy((*test)->mean, in->mean, sizeof in->mean); /* scaled as the training images were */
    memcpy((*test)->std, in->std, sizeof in->std);
    return TARE_OK;
}

static void print_score(const options *o, const input_spec *in, const score *s, double by_batch) {
    char name[256], text[256];
    if (o->run.json) {
        tare_event_print(stdout, "test",
                         TARE_FIELDS(TARE_NUMBER("test_loss", s->loss), TARE_NUMBER("test_accuracy", s->accuracy)));
        if (isfinite(by_batch)) { tare_event_print(stdout, "batch_norm", COMPARE_FIELDS(s->accuracy, by_batch)); }
        return;
    }
    if (o->run.quiet) { return; }
    for (int64_t k = 0; k < in->classes && k < SCORE_CLASSES; k++) {
        if (s->count[k] == 0) { continue; }
        class_name(in, k, name, sizeof name);
        int room = 20 - tare_terminal_columns(name);
        printf("%s%*s %6.2f%%  (%lld of %lld)\n", name, room > 0 ? room : 0, "",
               100.0 * (double)s->correct[k] / (double)s->count[k], (long long)s->correct[k], (long long)s->count[k]);
    }
    printf("test accuracy %.2f%%, loss %.4f\n", 100 * s->accuracy, s->loss);
    if (!isfinite(by_batch)) { return; }
    compare_text(s->accuracy, by_batch, text, sizeof text);
    printf("%s\n", text);
}

int evaluate_run(const options *o) {
    finished f = { { 0 }, NULL, NULL, NULL };
    tare_dataset *test = NULL;
    tare_loader *loader = NULL, *norm_loader = NULL;
    score result;
    double by_batch;
    tare_status s = finished_load(&f, o);
    if (s == TARE_OK) { s = open_test_data(o, &f.in, &test); }
    if (s == TARE_OK) { s = test_loader_new(o, &f.in, test, TEST_BATCH, &loader); }
    if (s == TARE_OK) { s = test_loader_new(o, &f.in, test, o->test_norm_batch, &norm_loader); }
    if (s == TARE_OK) { s = evaluate(f.model, f.tape, loader, NULL, &result); }
    if (s == TARE_OK && !isfinite(result.loss)) {
        s = tare_fail(TARE_ENONFINITE, "the loss on the test images is %g: the model makes no sense of them",
                      result.loss);
    }
    if (s == TARE_OK) { s = evaluate_by_batch(f.model, f.tape, norm_loader, &by_batch); }
    if (s == TARE_OK) { print_score(o, &f.in, &result, by_batch); }
    tare_loader_free(norm_loader);
    tare_loader_free(loader);
    tare_dataset_free(test);
    finished_free(&f);
    return s == TARE_OK ? 0 : fail(s == TARE_ENONFINITE ? EXIT_NONFINITE : 1);
}

/* ---- pictures ---------------------------------------------------------------------------------------------------- */

/* The three likeliest classes of one file, most likely first. */
static void print_prediction(const options *o, const input_spec *in, const char *file, const tare_real *p) {
    char name[256];
    int64_t order[3] = { -1, -1, -1 };
    for (int rank = 0; rank < 3; rank++) {
        for (int64_t k = 0; k < in->classes; k++) {
            bool taken = k == order[0] || k == order[1];
            if (!taken && (order[rank] < 0 || p[k] > p[order[rank]])) { order[rank] = k; }
        }
    }
    if (o->run.json) {
        tare_event_print(stdout, "prediction",
                         TARE_FIELDS(TARE_TEXT("file", file), TARE_NUMBER("class", order[0]),
                                     TARE_TEXT("name", class_name(in, order[0], name, sizeof name)),
                                     TARE_NUMBER("probability", p[order[0]])));
        return;
    }
    if (o->run.quiet) { return; }
    printf("%s:", file);
    for (int rank = 0; rank < 3 && order[rank] >= 0; rank++) {
        printf("%s %s %.1f%%", rank ? "," : "", class_name(in, order[rank], name, sizeof name),
               100 * (double)p[order[rank]]);
    }
    printf("\n");
}

static tare_status predict_file(finished *f, const options *o, tare_dataset *one, tare_loader *loader,
                                const char *file) {
    tare_status s = tare_image_load(file, one->channels, one->height, one->width, one->images);
    if (s != TARE_OK) { return s; }
    tare_shape image = image_shape(o, &f->in);
    tare_tape_reset(f->tape);
    tare_tensor *x = tare_input(f->tape, TARE_SHAPE(1, image.dim[0], image.dim[1], image.dim[2]), NULL);
    s = x ? tare_loader_convert(loader, one->images, x->data) : TARE_ENOMEM;
    if (s != TARE_OK) { return s; }
    tare_tensor *p = tare_softmax(f->tape, tare_forward(f->model, f->tape, x), 1);
    if (!p) { return tare_fail(tare_tape_status(f->tape), "%s", tare_tape_error(f->tape)); }
    print_prediction(o, &f->in, file, p->data);
    return TARE_OK;
}

/* Every file is tried; one that cannot be read does not keep the others from being classified. */
int predict_files(const options *o) {
    finished f = { { 0 }, NULL, NULL, NULL };
    tare_dataset *one = NULL;
    tare_loader *loader = NULL;
    int code = 0;
    tare_status s = finished_load(&f, o);
    if (s == TARE_OK) { s = tare_dataset_new(1, f.in.channels, f.in.height, f.in.width, f.in.classes, &one); }
    if (s == TARE_OK) {
        memcpy(one->mean, f.in.mean, sizeof one->mean);
        memcpy(one->std, f.in.std, sizeof one->std);
        tare_shape image = image_shape(o, &f.in);
        s = tare_loader_new(one, (tare_loader_opt){ .batch = 1, .height = image.dim[1], .width = image.dim[2] },
                            &loader);
    }
    if (s != TARE_OK) { code = fail(s == TARE_ENONFINITE ? EXIT_NONFINITE : 1); }
    for (int64_t i = 0; s == TARE_OK && i < o->predict.count; i++) {
        if (predict_file(&f, o, one, loader, o->predict.name[i]) != TARE_OK) { code = fail(1); }
    }
    tare_loader_free(loader);
    tare_dataset_free(one);
    finished_free(&f);
    return code;
}
