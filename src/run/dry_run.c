/* dry_run.c - what --dry-run tells: options, the command that repeats them, memory. */
#include <tare/run.h>

tare_status tare_run_describe(const tare_options *o, const tare_run_opt *opt, tare_progress *progress,
                              tare_run_facts facts) {
    char *json = tare_options_json(o), *command = tare_options_command(o);
    tare_status s = json && command ? TARE_OK : TARE_ENOMEM;
    double step = (double)tare_tape_peak(facts.tape);
    double state = (double)tare_params_flat_size(facts.ps) * (2 + tare_optim_slots(facts.optim)) * sizeof(tare_real);
    if (s == TARE_OK && opt->json) {
        tare_event_print(stdout, "dry_run",
                         TARE_FIELDS(TARE_NUMBER("steps", facts.steps),
                                     TARE_NUMBER("parameters", tare_params_numel(facts.ps)),
                                     TARE_NUMBER("step_bytes", step), TARE_NUMBER("state_bytes", state),
                                     TARE_TEXT("command", command)));
    } else if (s == TARE_OK) {
        tare_progress_print(progress, "\noptions %s\ncommand: %s", json, command);
        tare_progress_print(progress,
                            "memory: %.1f MiB for a step of %s, %.1f MiB for weights, gradients and optimizer",
                            step / 1048576.0, facts.batch, state / 1048576.0);
        tare_progress_print(progress, "steps: %lld\ndry run: nothing was trained or written", (long long)facts.steps);
    }
    tare_free(json);
    tare_free(command);
    return s;
}
