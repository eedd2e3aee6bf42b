/* options_help.c - the page that --help prints: grouped, in two columns, at most 80 wide. */
#include "options.h"

#include <string.h>

#include "../core/columns.h"

enum { COLUMN = 26 };

/* "--norm SPEC", "--optimizer NAME" (the choices follow in the sentence), "--predict FILE..." */
static void head(tare__text *t, const tare_option *row) {
    bool choice = row->kind == TARE_OPTION_CHOICE;
    tare__text_format(t, "  %s%s", *row->name ? "--" : "", row->name);
    if (row->kind == TARE_OPTION_FLAG) { return; }
    tare__text_format(t, "%s%s%s", *row->name ? " " : "", choice ? "NAME" : row->what,
                      row->kind == TARE_OPTION_FILES || row->kind == TARE_OPTION_PLUGINS ? "..." : "");
}

static void sentence(tare__text *t, const tare__option_entry *e) {
    const tare_option *row = e->row;
    tare__text_add(t, row->help);
    if (row->kind == TARE_OPTION_CHOICE) {
        tare__text_add(t, ": ");
        for (const char *s = row->what; *s; s++) { tare__text_add(t, *s == '|' ? ", " : (char[]){ *s, 0 }); }
    }
    if (e->fallback && row->kind != TARE_OPTION_FLAG) { tare__text_format(t, " [%s]", e->fallback); }
}

static void add_option(tare__text *t, const tare__option_entry *e) {
    tare__text left = { 0 }, right = { 0 };
    head(&left, e->row);
    sentence(&right, e);
    char *name = tare__text_take(&left), *help = tare__text_take(&right);
    if (name && help) {
        size_t n = strlen(name);
        tare__text_add(t, name);
        if (n + 2 > COLUMN) {
            tare__text_format(t, "\n%*s", COLUMN, "");
        } else {
            tare__text_format(t, "%*s", (int)(COLUMN - n), "");
        }
        tare__text_wrap(t, help, COLUMN, COLUMN);
    }
    t->failed = t->failed || !name || !help;
    tare_free(name);
    tare_free(help);
}

char *tare__options_help(const tare_options *o) {
    tare__text t = { 0 };
    const tare__option_entry *words = tare__option_find(o, "", 0);
    tare__text_format(&t, "tare %s - ", o->name);
    tare__text_wrap(&t, o->about, (int)strlen(o->name) + 8, 2);
    tare__text_format(&t, "\nUsage: tare %s [OPTION...]", o->name);
    if (words) { tare__text_format(&t, " [%s...]", words->row->what); }
    tare__text_add(&t, "\n");
    for (int i = 0; i < o->count; i++) {
        if (o->option[i].row->kind == TARE_OPTION_GROUP) {
            tare__text_format(&t, "\n%s\n", o->option[i].row->help);
        } else {
            add_option(&t, &o->option[i]);
        }
    }
    tare__text_format(&t, "\nAbout this program\n  %-24s%s\n  %-24s%s\n", "--help", "this page", "--version",
                      "its version");
    tare__text_add(&t, "\nValues in [brackets] are defaults. --key=value and --key value are the same.\n");
    return tare__text_take(&t);
}
