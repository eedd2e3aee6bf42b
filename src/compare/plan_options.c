/* plan_options.c - the options of `tare compare`, as its --help shows them. */
#include "plan.h"

#define AT(member) offsetof(tare__compare_opt, member)
const tare_option tare__compare_options[] = {
    { .kind = TARE_OPTION_GROUP, .help = "What to compare (all other options go to the program)" },
    { "vary", TARE_OPTION_FILES, AT(vary), NULL, "KEY=A,B",
      "an option of the program and the values it takes; repeat it for a grid. The first is what is compared. Values "
      "with commas: KEY='A;B'",
      .flags = TARE_OPTION_LOCAL },
    { "seeds", TARE_OPTION_INT, AT(seeds), "3", "N", "run each point of the grid with --seed 1 to N", .min = 1,
      .max = 10000 },
    { "metric", TARE_OPTION_STRING, AT(metric), NULL, "NAME",
      "a number of the run's end event (mnist: test_accuracy, charlm: val_loss, gan: frechet), or max(NAME), "
      "min(NAME), steps_to(NAME>=X)",
      .flags = TARE_OPTION_FIXED },
    { "up", TARE_OPTION_FLAG, AT(up), NULL, NULL, "more of the metric is better", .flags = TARE_OPTION_FIXED },
    { "down", TARE_OPTION_FLAG, AT(down), NULL, NULL, "less of it is better", .flags = TARE_OPTION_FIXED },
    { "budget", TARE_OPTION_STRING, AT(budget), NULL, "UNIT=N",
      "how long each run trains: steps=N, epochs=N or seconds=S", .flags = TARE_OPTION_FIXED },
    { "tune", TARE_OPTION_FILES, AT(tune), NULL, "KEY=A,B",
      "choose the best of these values for each point of the grid, on seed 0, which is not reported",
      .flags = TARE_OPTION_LOCAL },
    { "versus", TARE_OPTION_STRING, AT(versus), NULL, "VALUE",
      "compare with this value alone, not all pairs: fewer tests, so fewer seeds needed", .flags = TARE_OPTION_FIXED },

    { .kind = TARE_OPTION_GROUP, .help = "How to run" },
    { "jobs", TARE_OPTION_INT, AT(jobs), "0", "N",
      "runs at a time, with the cores divided among them; 0: one per core. Results do not depend on it", .min = 0,
      .max = 1024, .flags = TARE_OPTION_LOCAL },
    { "launcher", TARE_OPTION_STRING, AT(launcher), NULL, "COMMAND", "words in front of each run: 'srun -n1 -c2'",
      .flags = TARE_OPTION_LOCAL },
    { "time-limit", TARE_OPTION_REAL, AT(time_limit), "0", "S",
      "a run that takes more than S seconds is stopped and counts as killed; 0: none", .min = 0, .max = 1e9,
      .flags = TARE_OPTION_LOCAL },
    { "retry", TARE_OPTION_FLAG, AT(retry), NULL, NULL, "run again what crashed or was killed",
      .flags = TARE_OPTION_LOCAL },
    { "out", TARE_OPTION_STRING, AT(out), NULL, "DIR",
      "the comparison's folder (default: runs/compare- and a name made of the options, so that the same command finds "
      "it again and goes on with what is missing)",
      .flags = TARE_OPTION_FIXED },
    { "force", TARE_OPTION_FLAG, AT(force), NULL, NULL, "clear a comparison that is in the folder already",
      .flags = TARE_OPTION_LOCAL },
    { "dry-run", TARE_OPTION_FLAG, AT(dry_run), NULL, NULL,
      "run nothing; print the commands of the runs that are missing, one a line", .flags = TARE_OPTION_LOCAL },
    { "quiet", TARE_OPTION_FLAG, AT(quiet), NULL, NULL, "print errors alone", .flags = TARE_OPTION_LOCAL },
    { "json", TARE_OPTION_FLAG, AT(json), NULL, NULL, "print comparison.json instead of tables",
      .flags = TARE_OPTION_LOCAL },
    { "", TARE_OPTION_FILES, AT(program), NULL, "PROGRAM",
      "mnist, charlm, gan, or any command that writes a run folder (docs/compare.md)", .flags = TARE_OPTION_LOCAL },
    { 0 },
};
#undef AT
