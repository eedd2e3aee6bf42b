/* tare/report.h - a run or a comparison as one HTML file that needs nothing else. */
#ifndef TARE_REPORT_H
#define TARE_REPORT_H

#include <tare/core.h>

#ifdef __cplusplus
extern "C" {
#endif

/* tare_report_write - read the folder of a run (config.json, metrics.jsonl, and where they are there summary.txt,
 * confusion.json, samples/NAME.png) or of a comparison (comparison.json and the runs it names), and write its report to
 * `path`, replaced whole or not at all. NULL: report.html in that folder. A run that is still going has a report too; a
 * line, a picture or a confusion.json that cannot be read is left out, and so is a broken run of a comparison.
 *   size    curves keep the lowest and highest value of each stretch, at most 500 points each; at most 5 MB
 *   errors  TARE_ENOENT: the folder is neither;  TARE_EIO: cannot be read or written;  TARE_EFORMAT: config.json or
 *           comparison.json is not what it should be;  TARE_ENOMEM */
TARE_API tare_status tare_report_write(const char *folder, const char *path);

#ifdef __cplusplus
}
#endif
#endif
