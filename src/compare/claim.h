/* claim.h - a statement of a paper, put to the test: comparisons, and planned contrasts of what they measure. docs/claims.md has the
 * format of the files in claims/. */
#ifndef TARE_COMPARE_CLAIM_H
#define TARE_COMPARE_CLAIM_H

#include "comparison.h"

enum { TARE__CONTRASTS = 8, TARE__TERMS = 8, TARE__COMPARES = 4 };

/* What the paper leads one to expect of a contrast. */
typedef enum tare__expect {
    TARE__ABOVE,   /* it is above 0 */
    TARE__WITHIN,  /* it is between -margin and margin: no difference that matters */
    TARE__AT_MOST, /* it is below margin */
} tare__expect;

typedef enum tare__verdict { TARE__UNDECIDED, TARE__HOLDS, TARE__FAILS, TARE__VERDICTS } tare__verdict;
extern const char *const tare__verdict_name[TARE__VERDICTS];

/* weight times the mean over all cells that match, of these comparisons. */
typedef struct tare__term {
    double weight;
    int64_t in[TARE__COMPARES];
    int ins;
    tare__words keys, values; /* what a cell must have: keys.at[i] = values.at[i] */
    tare__metric metric;
    bool own_metric; /* not the comparison's */
} tare__term;

typedef struct tare__contrast {
    char *name;
    tare__expect expect;
    double margin; /* NaN: none */
    bool also;     /* shown; the verdict does not depend on it */
    bool per_cent; /* shown times 100 */
    tare__term term[TARE__TERMS];
    int terms;
    /* what came out */
    tare__summary value;
    double p;
    bool exact;
    int64_t failed; /* runs without a value that entered as failed_as */
    tare__verdict verdict;
} tare__contrast;

typedef struct tare__claim {
    int64_t number;
    char *says, *paper, *figures, *measured;
    tare__words quick, full; /* what stands behind `tare compare` */
    double failed_quick, failed_full,
        failed_as; /* value of a run that diverged or crashed; NaN: its seed is left out */
    tare__contrast contrast[TARE__CONTRASTS];
    int contrasts;
    tare__verdict verdict;
} tare__claim;

/* tare__claim_load - from a file.   errors  TARE_ENOENT, TARE_EIO;  TARE_EFORMAT: not such a file (the message says where) */
tare_status tare__claim_load(tare__claim *claim, const char *path);
void tare__claim_free(tare__claim *claim);

/* tare__claim_judge - the contrasts over the comparisons' runs, one value a seed, and the verdict: the claim holds where all its
 * contrasts do, fails where one does; also with seeds missing (undecided then, mostly).
 *   errors  TARE_EFORMAT: a term matches no cell;  TARE_EINVAL: runs without its metric;  TARE_ENOMEM */
tare_status tare__claim_judge(tare__claim *claim, const tare__comparison *c, int64_t count);

/* tare__contrast_judge - the verdict on one contrast from its value per seed; fills value, p, exact, verdict. */
void tare__contrast_judge(tare__contrast *k, const double *value, int64_t n);

/* For people: a claim with its contrasts; the closing table. */
void tare__claim_print(const tare__claim *claim, FILE *stream);
void tare__claims_print(const tare__claim *claim, int64_t count, FILE *stream);
/* tare__claims_csv - one row a contrast. */
void tare__claims_csv(const tare__claim *claim, int64_t count, tare__text *t);

#endif
