/* norms.c - `tare norms`: what each name in a norm's spec stands for, from the table that specs are read by. */
#include <tare/tare.h>

#include <stdio.h>
#include <string.h>

typedef struct options {
    tare_files names, plugin;
} options;

static const tare_option table[] = {
    { .kind = TARE_OPTION_GROUP, .help = "What to show" },
    { "", TARE_OPTION_FILES, offsetof(options, names), NULL, "NORM", "norms by name; none: all of them",
      .flags = TARE_OPTION_LOCAL },
    { "plugin", TARE_OPTION_PLUGINS, offsetof(options, plugin), NULL, "FILE", "plugins, whose norms are shown too",
      .flags = TARE_OPTION_LOCAL },
    { 0 },
};

enum { INDENT = 14, HELP = 34 };

static void print_line(const char *label, const char *text) {
    if (!text || !*text) { return; }
    printf("  %-*s", INDENT - 2, label);
    tare_terminal_wrap(stdout, text, INDENT, INDENT);
}

/* The default as a spec would say it: a word where one stands for it, else the number. */
static void default_text(const tare_norm_option *o, char *text, size_t size) {
    const char *word = o->words;
    for (int i = 0; word && o->lo > o->hi && i < (int)o->initial; i++) { word += strcspn(word, "|") + 1; }
    if (word) {
        snprintf(text, size, "%.*s", (int)strcspn(word, "|"), word);
        return;
    }
    snprintf(text, size, "%g", o->initial); /* 1e-05, which people write 1e-5 */
    char *zero = strstr(text, "e-0");
    if (zero) { memmove(zero + 2, zero + 3, strlen(zero + 3) + 1); }
}

static void print_option(const tare_norm_option *o, const char *label) {
    char value[64], head[128], help[512];
    default_text(o, value, sizeof value);
    snprintf(head, sizeof head, "%s=%s", o->key, value);
    bool choice = o->words && o->lo > o->hi;
    snprintf(help, sizeof help, "%s%s%s%s", o->help ? o->help : "", choice ? " (" : "", choice ? o->words : "",
             choice ? ")" : "");
    int n = printf("  %-*s%-*s ", INDENT - 2, label, HELP - INDENT - 1, head);
    tare_terminal_wrap(stdout, help, n, HELP);
}

static const char *depends_on(const tare_norm_kind *kind) {
    if (kind->transform) { return "the weight, not on any sample"; }
    return kind->uses_batch ? "the other samples of the batch" : "each sample alone, not on the batch";
}

static void print_kind(const tare_norm_kind *kind) {
    printf("%s%s%s\n", kind->name, kind->title ? " - " : "", kind->title ? kind->title : "");
    print_line("over", kind->over);
    print_line("depends on", depends_on(kind));
    print_line("use", kind->advice);
    for (int i = 0; i < TARE_NORM_OPTIONS && kind->options[i].key; i++) {
        print_option(&kind->options[i], i == 0 ? "defaults" : "");
    }
    print_line("source", kind->source);
    printf("\n");
}

static tare_status check_name(const char *name) {
    const char *names[256];
    int64_t count = 0;
    if (tare_norm_kind_find(name)) { return TARE_OK; }
    while (count < 256 && tare_norm_kind_at((int)count)) {
        names[count] = tare_norm_kind_at((int)count)->name;
        count++;
    }
    const char *near = tare_nearest(name, names, count);
    return tare_fail(TARE_ENOENT, "there is no norm \"%s\"%s%s%s", name, near ? "; did you mean \"" : "",
                     near ? near : "; `tare norms` lists them all", near ? "\"?" : "");
}

static tare_status print_norms(const options *o) {
    tare_status s = TARE_OK;
    for (int64_t i = 0; i < o->names.count && s == TARE_OK; i++) { s = check_name(o->names.name[i]); }
    if (s != TARE_OK) { return s; }
    for (int64_t i = 0; i < o->names.count; i++) { print_kind(tare_norm_kind_find(o->names.name[i])); }
    for (int i = 0; o->names.count == 0 && tare_norm_kind_at(i); i++) { print_kind(tare_norm_kind_at(i)); }
    printf("In a spec: gn:8   bn:batch=4,eps=1e-3   ln:over=c   ws+gn:8\n"
           "Options left out have their defaults; + joins norms of weights and one of\n"
           "activations.\n");
    return TARE_OK;
}

int main(int argc, char **argv) {
    options o = { { 0 }, { 0 } };
    tare_options *args =
        tare_options_new("norms", TARE_DESCRIBE "the norms: options, what they look at, when to use which");
    tare_status s = args ? tare_options_add(args, table, &o) : TARE_ENOMEM;
    if (s == TARE_OK) { s = tare_options_parse(args, argc, argv); }
    if (s == TARE_OK && tare_options_text(args)) {
        fputs(tare_options_text(args), stdout);
    } else if (s == TARE_OK) {
        s = print_norms(&o);
    }
    if (s != TARE_OK) { fprintf(stderr, "tare norms: %s\n", tare_error()); }
    tare_options_free(args);
    return tare_output_end("tare norms", s == TARE_OK ? 0 : 2);
}
