/* tare/tare.h - all of Tare. */
#ifndef TARE_TARE_H
#define TARE_TARE_H

#include <tare/core.h>
#include <tare/linalg.h>
#include <tare/tape.h>
#include <tare/params.h>
#include <tare/ops.h>
#include <tare/layers.h>
#include <tare/norms.h>
#include <tare/sequence.h>
#include <tare/optim.h>
#include <tare/gan.h>
#include <tare/data.h>
#include <tare/io.h>
#include <tare/run.h>
#include <tare/report.h>
#include <tare/plugin.h>
#include <tare/testing.h>

#endif
