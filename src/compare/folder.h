/* folder.h - the folder of a comparison. */
#ifndef TARE_COMPARE_FOLDER_H
#define TARE_COMPARE_FOLDER_H

#include "comparison.h"

/* tare__folder_open - find or make and lock it; c->folder, c->lock. As tare__comparison_open says. */
tare_status tare__folder_open(tare__comparison *c, char **note);

#endif
