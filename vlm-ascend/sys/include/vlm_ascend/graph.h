/* Streams' work, captured once and run often. */
#ifndef VLM_ASCEND_GRAPH_H
#define VLM_ASCEND_GRAPH_H

#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    ACL_MODEL_RI_CAPTURE_MODE_GLOBAL = 0,
    ACL_MODEL_RI_CAPTURE_MODE_THREAD_LOCAL = 1,
    ACL_MODEL_RI_CAPTURE_MODE_RELAXED = 2
} aclmdlRICaptureMode;

typedef enum {
    ACL_MODEL_RI_CAPTURE_STATUS_NONE = 0,
    ACL_MODEL_RI_CAPTURE_STATUS_ACTIVE = 1,
    ACL_MODEL_RI_CAPTURE_STATUS_INVALIDATED = 2
} aclmdlRICaptureStatus;

aclError aclmdlRICaptureBegin(aclrtStream stream, aclmdlRICaptureMode mode);
aclError aclmdlRICaptureGetInfo(aclrtStream stream, aclmdlRICaptureStatus *status, aclmdlRI *graph);
aclError aclmdlRICaptureEnd(aclrtStream stream, aclmdlRI *graph);
aclError aclmdlRICaptureThreadExchangeMode(aclmdlRICaptureMode *mode);
aclError aclmdlRICaptureTaskGrpBegin(aclrtStream stream);
aclError aclmdlRICaptureTaskGrpEnd(aclrtStream stream, aclrtTaskGrp *group);
aclError aclmdlRICaptureTaskUpdateBegin(aclrtStream stream, aclrtTaskGrp group);
aclError aclmdlRICaptureTaskUpdateEnd(aclrtStream stream);
aclError aclmdlRIExecute(aclmdlRI graph, int32_t milliseconds);
aclError aclmdlRIExecuteAsync(aclmdlRI graph, aclrtStream stream);
aclError aclmdlRIAbort(aclmdlRI graph);
aclError aclmdlRIDebugPrint(aclmdlRI graph);
aclError aclmdlRIDestroy(aclmdlRI graph);

#ifdef __cplusplus
}
#endif

#endif
