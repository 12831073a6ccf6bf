/* Models compiled ahead of time. */
#ifndef VLM_ASCEND_MODEL_H
#define VLM_ASCEND_MODEL_H

#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ACL_MAX_DIM_CNT 128
#define ACL_MAX_TENSOR_NAME_LEN 128
#define ACL_MAX_BATCH_NUM 128
#define ACL_MAX_HW_NUM 128
#define ACL_DIM_ENDPOINTS 2
#define ACL_DYNAMIC_TENSOR_NAME "ascend_mbatch_shape_data"
#define ACL_DYNAMIC_AIPP_NAME "ascend_dynamic_aipp_data"

typedef enum { ACL_MEMTYPE_DEVICE = 0, ACL_MEMTYPE_HOST = 1, ACL_MEMTYPE_HOST_COMPILE_INDEPENDENT = 2 } aclMemType;

typedef struct aclDataBuffer aclDataBuffer;
typedef struct aclTensorDesc aclTensorDesc;
typedef struct aclmdlDesc aclmdlDesc;
typedef struct aclmdlDataset aclmdlDataset;

typedef struct aclmdlIODims {
    char name[ACL_MAX_TENSOR_NAME_LEN];
    size_t dimCount;
    int64_t dims[ACL_MAX_DIM_CNT];
} aclmdlIODims;

typedef struct aclmdlIODimsRange {
    size_t rangeCount;
    int64_t range[ACL_MAX_DIM_CNT][ACL_DIM_ENDPOINTS];
} aclmdlIODimsRange;

typedef struct aclmdlBatch {
    size_t batchCount;
    uint64_t batch[ACL_MAX_BATCH_NUM];
} aclmdlBatch;

typedef struct aclmdlHW {
    size_t hwCount;
    uint64_t hw[ACL_MAX_HW_NUM][2];
} aclmdlHW;

/* Memory with its size, and lists of it. Neither owns what it holds. */
aclDataBuffer *aclCreateDataBuffer(void *memory, size_t size);
aclError aclDestroyDataBuffer(const aclDataBuffer *buffer);
aclError aclUpdateDataBuffer(aclDataBuffer *buffer, void *memory, size_t size);
void *aclGetDataBufferAddr(const aclDataBuffer *buffer);
uint32_t aclGetDataBufferSize(const aclDataBuffer *buffer);
size_t aclGetDataBufferSizeV2(const aclDataBuffer *buffer);
aclmdlDataset *aclmdlCreateDataset(void);
aclError aclmdlDestroyDataset(const aclmdlDataset *set);
aclError aclmdlAddDatasetBuffer(aclmdlDataset *set, aclDataBuffer *buffer);
size_t aclmdlGetDatasetNumBuffers(const aclmdlDataset *set);
aclDataBuffer *aclmdlGetDatasetBuffer(const aclmdlDataset *set, size_t index);
aclError aclmdlSetDatasetTensorDesc(aclmdlDataset *set, aclTensorDesc *desc, size_t index);
aclTensorDesc *aclmdlGetDatasetTensorDesc(const aclmdlDataset *set, size_t index);

/* Element type, format and dimensions without memory. */
size_t aclDataTypeSize(aclDataType type);
aclTensorDesc *aclCreateTensorDesc(aclDataType type, int rank, const int64_t *dims, aclFormat format);
void aclDestroyTensorDesc(const aclTensorDesc *desc);
aclDataType aclGetTensorDescType(const aclTensorDesc *desc);
aclFormat aclGetTensorDescFormat(const aclTensorDesc *desc);
size_t aclGetTensorDescSize(const aclTensorDesc *desc);
size_t aclGetTensorDescElementCount(const aclTensorDesc *desc);
size_t aclGetTensorDescNumDims(const aclTensorDesc *desc);
int64_t aclGetTensorDescDim(const aclTensorDesc *desc, size_t index);
aclError aclGetTensorDescDimV2(const aclTensorDesc *desc, size_t index, int64_t *dim);
void aclSetTensorDescName(aclTensorDesc *desc, const char *name);
const char *aclGetTensorDescName(aclTensorDesc *desc);
aclError aclSetTensorFormat(aclTensorDesc *desc, aclFormat format);
aclError aclSetTensorShape(aclTensorDesc *desc, int rank, const int64_t *dims);
aclError aclSetTensorPlaceMent(aclTensorDesc *desc, aclMemType where);

/* Loading. */
aclError aclmdlQuerySize(const char *file, size_t *work, size_t *weights);
aclError aclmdlQuerySizeFromMem(const void *model, size_t size, size_t *work, size_t *weights);
aclError aclmdlLoadFromFile(const char *file, uint32_t *id);
aclError aclmdlLoadFromMem(const void *model, size_t size, uint32_t *id);
aclError aclmdlLoadFromFileWithMem(const char *file, uint32_t *id, void *work, size_t work_size, void *weights,
                                   size_t weights_size);
aclError aclmdlLoadFromMemWithMem(const void *model, size_t size, uint32_t *id, void *work, size_t work_size,
                                  void *weights, size_t weights_size);
aclError aclmdlUnload(uint32_t id);

/* What a model takes and gives. */
aclmdlDesc *aclmdlCreateDesc(void);
aclError aclmdlDestroyDesc(aclmdlDesc *desc);
aclError aclmdlGetDesc(aclmdlDesc *desc, uint32_t id);
size_t aclmdlGetNumInputs(aclmdlDesc *desc);
size_t aclmdlGetNumOutputs(aclmdlDesc *desc);
size_t aclmdlGetInputSizeByIndex(aclmdlDesc *desc, size_t index);
size_t aclmdlGetOutputSizeByIndex(aclmdlDesc *desc, size_t index);
aclError aclmdlGetInputDims(const aclmdlDesc *desc, size_t index, aclmdlIODims *dims);
aclError aclmdlGetInputDimsV2(const aclmdlDesc *desc, size_t index, aclmdlIODims *dims);
aclError aclmdlGetInputDimsRange(const aclmdlDesc *desc, size_t index, aclmdlIODimsRange *range);
aclError aclmdlGetOutputDims(const aclmdlDesc *desc, size_t index, aclmdlIODims *dims);
aclError aclmdlGetCurOutputDims(const aclmdlDesc *desc, size_t index, aclmdlIODims *dims);
const char *aclmdlGetInputNameByIndex(const aclmdlDesc *desc, size_t index);
const char *aclmdlGetOutputNameByIndex(const aclmdlDesc *desc, size_t index);
aclError aclmdlGetInputIndexByName(const aclmdlDesc *desc, const char *name, size_t *index);
aclError aclmdlGetOutputIndexByName(const aclmdlDesc *desc, const char *name, size_t *index);
aclDataType aclmdlGetInputDataType(const aclmdlDesc *desc, size_t index);
aclDataType aclmdlGetOutputDataType(const aclmdlDesc *desc, size_t index);
aclFormat aclmdlGetInputFormat(const aclmdlDesc *desc, size_t index);
aclFormat aclmdlGetOutputFormat(const aclmdlDesc *desc, size_t index);

/* Gears of models with several sizes. */
aclError aclmdlGetDynamicBatch(const aclmdlDesc *desc, aclmdlBatch *batch);
aclError aclmdlGetDynamicHW(const aclmdlDesc *desc, size_t index, aclmdlHW *hw);
aclError aclmdlGetInputDynamicGearCount(const aclmdlDesc *desc, size_t index, size_t *count);
aclError aclmdlGetInputDynamicDims(const aclmdlDesc *desc, size_t index, aclmdlIODims *dims, size_t count);
aclError aclmdlSetDynamicBatchSize(uint32_t id, aclmdlDataset *set, size_t index, uint64_t batch);
aclError aclmdlSetDynamicHWSize(uint32_t id, aclmdlDataset *set, size_t index, uint64_t height, uint64_t width);
aclError aclmdlSetInputDynamicDims(uint32_t id, aclmdlDataset *set, size_t index, const aclmdlIODims *dims);

/* Running. */
aclError aclmdlExecute(uint32_t id, const aclmdlDataset *inputs, aclmdlDataset *outputs);
aclError aclmdlExecuteAsync(uint32_t id, const aclmdlDataset *inputs, aclmdlDataset *outputs, aclrtStream stream);
aclError aclmdlInitDump(void);
aclError aclmdlSetDump(const char *config);
aclError aclmdlFinalizeDump(void);

#ifdef __cplusplus
}
#endif

#endif
