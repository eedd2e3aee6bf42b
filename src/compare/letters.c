/* letters.c - which of a ranking's items cannot be told apart, as letters: those that share one cannot. */
#include "stats.h"

#include <string.h>

enum { COLUMNS = TARE__LETTERS - 1 };

typedef struct columns {
    uint64_t set[4 * COLUMNS];
    int count;
} columns;

static void add(columns *c, uint64_t set) {
    for (int i = 0; i < c->count; i++) {
        if ((set & ~c->set[i]) == 0) { return; } /* all of it is in another already */
    }
    int kept = 0;
    for (int i = 0; i < c->count; i++) {
        if ((c->set[i] & ~set) != 0) { c->set[kept++] = c->set[i]; }
    }
    c->count = kept;
    if (c->count < 4 * COLUMNS) { c->set[c->count++] = set; }
}

/* No column may hold both: those that do become two, one without each. */
static void part(columns *c, int i, int j) {
    columns out = { .count = 0 };
    uint64_t one = (uint64_t)1 << i, other = (uint64_t)1 << j;
    for (int k = 0; k < c->count; k++) {
        if (c->set[k] & one && c->set[k] & other) {
            add(&out, c->set[k] & ~one);
            add(&out, c->set[k] & ~other);
        } else {
            add(&out, c->set[k]);
        }
    }
    *c = out;
}

void tare__letters(const bool *apart, int n, char letters[][TARE__LETTERS]) {
    static const char names[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789*";
    columns c = { .count = 1 };
    c.set[0] = n >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << n) - 1;
    for (int i = 0; i < n; i++) {
        for (int j = i + 1; j < n; j++) {
            if (apart[i * n + j]) { part(&c, i, j); }
        }
        letters[i][0] = '\0';
    }
    int used = 0;
    bool named[4 * COLUMNS] = { false };
    for (int i = 0; i < n; i++) { /* the best item's columns come first */
        for (int k = 0; k < c.count; k++) {
            if (named[k] || !(c.set[k] >> i & 1) || used >= COLUMNS) { continue; }
            named[k] = true;
            for (int item = 0; item < n; item++) {
                if (c.set[k] >> item & 1) { strncat(letters[item], &names[used], 1); }
            }
            used++;
        }
    }
}
