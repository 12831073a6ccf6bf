/* The subset of AscendCL, aclnn and HCCL that this project calls, imitates or is loaded against.
 *
 * Our own declarations: names, types, numbers and signatures are the interface, everything else here is ours.
 */
#ifndef VLM_ASCEND_H
#define VLM_ASCEND_H

#include "vlm_ascend/types.h"
#include "vlm_ascend/runtime.h"
#include "vlm_ascend/memory.h"
#include "vlm_ascend/graph.h"
#include "vlm_ascend/aclnn.h"
#include "vlm_ascend/model.h"
#include "vlm_ascend/operator.h"
#include "vlm_ascend/hccl.h"

#endif
