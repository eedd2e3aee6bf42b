/* claim_print.c - claims for people, at most 80 columns wide, and as a table for programs. */
#include <math.h>
#include <string.h>

#include "../core/columns.h"
#include "claim.h"

enum { INDENT = 4 };

/* Each line indented. */
static void wrapped(FILE *stream, const char *text) {
    fprintf(stream, "%*s", INDENT, "");
    tare_terminal_wrap(stream, text, INDENT, INDENT);
}

static const char *scaled(double value, bool per_cent, char text[TARE__SHORT]) {
    if (!per_cent || !isfinite(value)) { return tare__short_number(value, text); }
    snprintf(text, TARE__SHORT, "%.2f%%", 100 * value);
    return text;
}

static void effect(const tare__contrast *k, char *text, size_t size) {
    char mean[TARE__SHORT], low[TARE__SHORT], high[TARE__SHORT];
    snprintf(text, size, "%9s  [%s, %s]", scaled(k->value.mean, k->per_cent, mean),
             scaled(k->value.low, k->per_cent, low), scaled(k->value.high, k->per_cent, high));
}

static void expectation(const tare__contrast *k, char *text, size_t size) {
    char margin[TARE__SHORT];
    scaled(k->margin, k->per_cent, margin);
    if (k->expect == TARE__ABOVE) {
        snprintf(text, size, "above 0");
    } else {
        snprintf(text, size, k->expect == TARE__WITHIN ? "within +-%s" : "below %s", margin);
    }
}

static void print_contrast(const tare__contrast *k, FILE *stream) {
    char said[96], wanted[48];
    effect(k, said, sizeof said);
    expectation(k, wanted, sizeof wanted);
    fprintf(stream, "    %s%s\n", k->also ? "(also) " : "", k->name);
    fprintf(stream, "      %s, p %.3f, n %lld; %s: %s\n", said, k->p, (long long)k->value.n, wanted,
            k->verdict == TARE__HOLDS   ? "yes"
            : k->verdict == TARE__FAILS ? "no"
                                        : "cannot tell");
    if (k->failed > 0) { fprintf(stream, "      %lld runs in it diverged or crashed\n", (long long)k->failed); }
}

void tare__claim_print(const tare__claim *claim, FILE *stream) {
    fprintf(stream, "%2lld  %s\n", (long long)claim->number, claim->says);
    wrapped(stream, claim->paper);
    wrapped(stream, claim->figures);
    tare__text here = { 0 };
    tare__text_format(&here, "Here: %s", claim->measured);
    char *text = tare__text_take(&here);
    if (text) { wrapped(stream, text); }
    tare_free(text);
    for (int i = 0; i < claim->contrasts; i++) { print_contrast(&claim->contrast[i], stream); }
    fprintf(stream, "    -> %s\n", tare__verdict_name[claim->verdict]);
}

/* The first contrast that decides, or of those that do not hold the first. */
static const tare__contrast *deciding(const tare__claim *claim) {
    const tare__contrast *found = NULL;
    for (int i = 0; i < claim->contrasts; i++) {
        const tare__contrast *k = &claim->contrast[i];
        if (!k->also && k->verdict == claim->verdict && !found) { found = k; }
    }
    return found ? found : &claim->contrast[0];
}

void tare__claims_print(const tare__claim *claim, int64_t count, FILE *stream) {
    int64_t tally[TARE__VERDICTS] = { 0 };
    fprintf(stream, "%-42s %s\n", "claim", "effect  [95% interval]           verdict");
    for (int64_t i = 0; i < count; i++) {
        char said[96];
        tare__cell_buf says;
        effect(deciding(&claim[i]), said, sizeof said);
        fprintf(stream, "%2lld %s %-27s %s\n", (long long)claim[i].number, tare__cell_text(claim[i].says, 35, &says),
                said + strspn(said, " "),
                claim[i].verdict == TARE__FAILS ? "does not" : tare__verdict_name[claim[i].verdict]);
        tally[claim[i].verdict]++;
    }
    fprintf(stream, "\nclaims reproduced: %lld of %lld", (long long)tally[TARE__HOLDS], (long long)count);
    fprintf(stream, " (%lld do not hold here, %lld undecided)\n", (long long)tally[TARE__FAILS],
            (long long)tally[TARE__UNDECIDED]);
}

void tare__claims_csv(const tare__claim *claim, int64_t count, tare__text *t) {
    static const char *const expects[] = { "above", "within", "at_most" };
    tare__text_add(t, "claim,contrast,decides,expect,margin,n,mean,low,high,p,contrast_verdict,claim_verdict\n");
    for (int64_t i = 0; i < count; i++) {
        for (int k = 0; k < claim[i].contrasts; k++) {
            const tare__contrast *c = &claim[i].contrast[k];
            const double numbers[] = { c->value.mean, c->value.low, c->value.high, c->p };
            tare__text_format(t, "%lld,\"%s\",%s,%s,", (long long)claim[i].number, c->name, c->also ? "no" : "yes",
                              expects[c->expect]);
            if (isfinite(c->margin)) { tare__text_number(t, c->margin); }
            tare__text_format(t, ",%lld", (long long)c->value.n);
            for (int j = 0; j < 4; j++) {
                tare__text_add(t, ",");
                if (isfinite(numbers[j])) { tare__text_number(t, numbers[j]); }
            }
            tare__text_format(t, ",%s,%s\n", tare__verdict_name[c->verdict], tare__verdict_name[claim[i].verdict]);
        }
    }
}
