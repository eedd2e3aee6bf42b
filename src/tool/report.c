/* report.c - `tare report RUN...`: a run or a comparison as one HTML file. */
#include <tare/tare.h>

#include <stdlib.h>
#include <string.h>

typedef struct options {
    tare_files folders;
    const char *out;
    bool quiet;
} options;

static const tare_option table[] = {
    { .kind = TARE_OPTION_GROUP, .help = "What to report on" },
    { "", TARE_OPTION_FILES, offsetof(options, folders), NULL, "FOLDER", "folders of runs or of comparisons",
      .flags = TARE_OPTION_LOCAL },
    { "out", TARE_OPTION_STRING, offsetof(options, out), NULL, "FILE",
      "where to write the report of a single folder (default: report.html in it)", .flags = TARE_OPTION_LOCAL },
    { "quiet", TARE_OPTION_FLAG, offsetof(options, quiet), NULL, NULL, "print errors alone",
      .flags = TARE_OPTION_LOCAL },
    { 0 },
};

static tare_status check(const options *o) {
    if (o->folders.count == 0) { return tare_fail(TARE_EINVAL, "name the folder of a run: tare report runs/NAME"); }
    if (o->out && o->folders.count > 1) {
        return tare_fail(TARE_EINVAL, "--out: one file, but %lld folders; leave it out, and each gets its report.html",
                         (long long)o->folders.count);
    }
    return TARE_OK;
}

/* The folder without the slashes that completion leaves behind it. */
static tare_status report(const options *o, const char *folder) {
    tare_status s = tare_report_write(folder, o->out);
    if (s != TARE_OK) {
        fprintf(stderr, "tare report: %s\n", tare_error());
        return s;
    }
    int length = (int)strlen(folder);
    while (length > 1 && folder[length - 1] == '/') { length--; }
    if (!o->quiet && o->out) { printf("%s\n", o->out); }
    if (!o->quiet && !o->out) { printf("%.*s/report.html\n", length, folder); }
    return TARE_OK;
}

int main(int argc, char **argv) {
    options o = { 0 };
    bool failed = false;
    tare_options *args = tare_options_new("report", TARE_DESCRIBE "a run or a comparison as one HTML file");
    tare_status s = args ? tare_options_add(args, table, &o) : TARE_ENOMEM;
    if (s == TARE_OK) { s = tare_options_parse(args, argc, argv); }
    const char *text = s == TARE_OK ? tare_options_text(args) : NULL;
    if (s == TARE_OK && !text) { s = check(&o); }
    if (s != TARE_OK) { fprintf(stderr, "tare report: %s\n", tare_error()); }
    if (text) { fputs(text, stdout); }
    for (int64_t i = 0; s == TARE_OK && !text && i < o.folders.count; i++) {
        failed = report(&o, o.folders.name[i]) != TARE_OK || failed;
    }
    tare_options_free(args);
    return tare_output_end("tare report", s != TARE_OK ? 2 : failed);
}
