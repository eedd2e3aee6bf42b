/* json.h - JSON objects, member by member, into growing text. A comma is set where one is needed. */
#ifndef TARE_RUN_JSON_H
#define TARE_RUN_JSON_H

#include "../core/text.h"

/* `key` is NULL inside an array and at the top. */
void tare__json_open(tare__text *t, const char *key, char bracket);       /* '{' or '[' */
void tare__json_close(tare__text *t, char bracket);                       /* '}' or ']' */
void tare__json_string(tare__text *t, const char *key, const char *text); /* NULL: null */
void tare__json_number(tare__text *t, const char *key, double value);     /* NaN and Inf: null */
void tare__json_int(tare__text *t, const char *key, int64_t value);
void tare__json_bool(tare__text *t, const char *key, bool value);
void tare__json_raw(tare__text *t, const char *key, const char *json); /* a value that is JSON already */

/* tare__json_indented - the same JSON with line breaks in its objects, for people; tare_free it. NULL: TARE_ENOMEM. */
char *tare__json_indented(const char *json);

/* tare__json_event - a line of metrics.jsonl, as a program in any language wrote it: NaN and Infinity, which JSON has not, are
 * read as null. NULL: no JSON (a line cut short), or out of memory. */
struct cJSON *tare__json_event(const char *line);

#endif
