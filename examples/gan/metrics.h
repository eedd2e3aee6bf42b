/* metrics.h - how good samples are, in numbers. */
#ifndef GAN_METRICS_H
#define GAN_METRICS_H

#include "gan.h"

/* NaN where a number makes no sense for the data. */
typedef struct metrics {
    double frechet, inception; /* by the judge's features and classes: labelled pictures alone */
    double hit, of,
        coverage;        /* classes or modes that get a tenth of their fair share of the samples or more; hit / of */
    double high_quality; /* share of points within three deviations of a mode */
    double largest;      /* share of the class or mode that gets most samples */
    double spread;       /* deviation of samples from their mean, over that of real ones */
} metrics;

/* judge - real samples to compare with, and for labelled pictures a small classifier that Tare trains once for the data. */
typedef struct judge {
    const data *d;
    int64_t count, real_count; /* samples in a measurement; real ones, fewer where there are not as many */
    double real_spread;
    /* labelled pictures */
    tare_params *ps; /* NULL: points, or pictures without labels */
    tare_layer *features, *head;
    tare_tape *tape;
    double *mean, *cov; /* of the training pictures' features */
    double accuracy;    /* of the classifier, on test pictures */
    metrics real;       /* of as many test pictures as samples are measured: what a perfect generator would get */
} judge;

enum { FEATURES = 64 };

/* judge_open - may train the classifier, which takes seconds, and keeps it in the cache folder ($XDG_CACHE_HOME/tare, else
 * ~/.cache/tare) under a hash of the data.   errors  TARE_EINTR: asked to stop meanwhile */
tare_status judge_open(judge **out, const data *d, const options *o, tare_progress *progress);
void judge_free(judge *j);
/* Draws that many with the sampler first. */
tare_status judge_sampler(judge *j, sampler *s, metrics *out);

/* classifier.c: the judge's own net, trained or taken from the cache. */
tare_status classifier_open(judge *j, tare_progress *progress);
/* Features [n,FEATURES] and class probabilities [n,classes] of pictures [n,...]. */
tare_status classifier_run(judge *j, const tare_real *x, int64_t n, tare_real *features, tare_real *probability);

/* The numbers that there are, as fields of an event after the `used` ones before; returns how many there are now. */
enum { METRIC_FIELDS = 8 };
int metrics_fields(const metrics *m, const subject *what, tare_field *fields, int used);
/* "frechet 23.1  inception 4.2  classes 9/10" */
void metrics_text(const metrics *m, const subject *what, char *text, size_t size);

/* What the numbers are to be compared with: those of real samples, and how they were taken. */
void judge_text(const judge *j, char *text, size_t size);

#endif
