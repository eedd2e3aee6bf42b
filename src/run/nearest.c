/* nearest.c - the word a misspelt one was meant to be: restricted Damerau-Levenshtein distance. */
#include <tare/run.h>

#include <string.h>

enum { LONGEST = 63 };

static int min3(int a, int b, int c) {
    int m = a < b ? a : b;
    return m < c ? m : c;
}

/* Insertions, deletions, replacements and swaps of neighbours that turn a into b. Both are at most LONGEST long. */
static int distance(const char *a, const char *b) {
    int rows[3][LONGEST + 1];
    int na = (int)strlen(a), nb = (int)strlen(b);
    for (int j = 0; j <= nb; j++) { rows[0][j] = j; }
    for (int i = 1; i <= na; i++) {
        int *now = rows[i % 3], *before = rows[(i + 2) % 3], *two_before = rows[(i + 1) % 3];
        now[0] = i;
        for (int j = 1; j <= nb; j++) {
            now[j] = min3(before[j] + 1, now[j - 1] + 1, before[j - 1] + (a[i - 1] != b[j - 1]));
            bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped && two_before[j - 2] + 1 < now[j]) { now[j] = two_before[j - 2] + 1; }
        }
    }
    return rows[na % 3][nb];
}

const char *tare_nearest(const char *word, const char *const *list, int64_t count) {
    const char *best = NULL;
    size_t n = strlen(word);
    if (n > LONGEST) { return NULL; }
    int least = n < 4 ? 1 : n < 8 ? 2 : 3; /* further off than this is another word */
    for (int64_t i = 0; i < count; i++) {
        size_t length = strlen(list[i]);
        if (length > LONGEST) { continue; }
        int d = distance(word, list[i]);
        /* The beginning of a word counts as near: --wei for --weight-decay. */
        if (d > 1 && n >= 3 && strncmp(word, list[i], n) == 0) { d = 1; }
        if (d < least || (d == least && !best)) {
            least = d;
            best = list[i];
        }
    }
    return best;
}
