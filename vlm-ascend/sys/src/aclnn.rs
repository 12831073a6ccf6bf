//! The table of aclnn operations: names, libraries and the arguments of their first phase.
//!
//! Interface facts, read from the vendor's public documentation. The table is the only place that knows them: whoever calls the
//! operations and whoever stands in for them make their functions from it.

/// Hands every operation to the macro `$then` as `library since Name(argument: kind, …);`.
///
/// `library` is the part of the operator libraries that has it since they were split (`math` stands for `libopapi_math.so`; before,
/// all are in `libopapi.so`), `since` the first major version of CANN that has the symbol. Kinds, see [`aclnn_type`](crate::aclnn_type):
///
/// | kind | argument |
/// |---|---|
/// | `tensor`, `out`, `inout` | a tensor that is read, written, or both |
/// | `tensors` | a list of tensors that are read |
/// | `scalar`, `ints`, `bools` | a scalar, an array |
/// | `i8`, `i32`, `i64`, `u64`, `f32`, `f64`, `bool`, `dtype`, `str` | a number, an element type, a string |
/// | `opt_…` | may be null |
#[macro_export]
macro_rules! for_each_aclnn {
    ($then:ident) => {
        $then! {
            // Matrix products
            nn 8 Matmul(x: tensor, mat2: tensor, out: out, cube_math_type: i8);
            nn 8 Mm(x: tensor, mat2: tensor, out: out, cube_math_type: i8);
            nn 8 BatchMatMul(x: tensor, mat2: tensor, out: out, cube_math_type: i8);
            nn 8 Addmm(x: tensor, mat1: tensor, mat2: tensor, beta: scalar, alpha: scalar, out: out, cube_math_type: i8);
            nn 8 Mv(x: tensor, vec: tensor, out: out, cube_math_type: i8);
            math 8 TransMatmulWeight(mm_weight_ref: inout);
            nn 8 WeightQuantBatchMatmulV2(x: tensor, weight: tensor, antiquant_scale: tensor, antiquant_offset: opt_tensor, quant_scale: opt_tensor, quant_offset: opt_tensor, bias: opt_tensor, antiquant_group_size: i32, y: out);
            // Elementwise
            math 8 Add(x: tensor, other: tensor, alpha: scalar, out: out);
            math 8 Adds(x: tensor, other: scalar, alpha: scalar, out: out);
            math 8 InplaceAdd(x: inout, other: tensor, alpha: scalar);
            math 8 InplaceAdds(x: inout, other: scalar, alpha: scalar);
            math 8 Sub(x: tensor, other: tensor, alpha: scalar, out: out);
            math 8 Subs(x: tensor, other: scalar, alpha: scalar, out: out);
            math 8 InplaceSub(x: inout, other: tensor, alpha: scalar);
            math 8 InplaceSubs(x: inout, other: scalar, alpha: scalar);
            math 8 Mul(x: tensor, other: tensor, out: out);
            math 8 Muls(x: tensor, other: scalar, out: out);
            math 8 InplaceMul(x: inout, other: tensor);
            math 8 InplaceMuls(x: inout, other: scalar);
            math 8 Div(x: tensor, other: tensor, out: out);
            math 8 Divs(x: tensor, other: scalar, out: out);
            math 8 InplaceDiv(x: inout, other: tensor);
            math 8 InplaceDivs(x: inout, other: scalar);
            math 8 FloorDivide(x: tensor, other: tensor, out: out);
            math 8 RemainderTensorTensor(x: tensor, other: tensor, out: out);
            math 8 PowTensorScalar(x: tensor, exponent: scalar, out: out);
            math 8 PowTensorTensor(x: tensor, exponent: tensor, out: out);
            math 8 PowScalarTensor(x: scalar, exponent: tensor, out: out);
            math 8 InplacePowTensorTensor(x: inout, exponent: tensor);
            math 8 Maximum(x: tensor, other: tensor, out: out);
            math 8 Minimum(x: tensor, other: tensor, out: out);
            math 8 Neg(x: tensor, out: out);
            math 8 Abs(x: tensor, out: out);
            math 8 Sign(x: tensor, result: out);
            math 8 Exp(x: tensor, out: out);
            math 8 InplaceExp(x: inout);
            math 8 Expm1(x: tensor, out: out);
            math 8 Log(x: tensor, out: out);
            math 8 Log1p(x: tensor, out: out);
            math 8 Sqrt(x: tensor, out: out);
            math 8 Rsqrt(x: tensor, out: out);
            math 8 Reciprocal(x: tensor, out: out);
            math 8 Sin(x: tensor, out: out);
            math 8 InplaceSin(x: inout);
            math 8 Cos(input: tensor, out: out);
            math 8 InplaceCos(x: inout);
            math 8 Tanh(x: tensor, out: out);
            nn 8 Sigmoid(x: tensor, out: out);
            math 8 Erf(x: tensor, out: out);
            math 8 Floor(x: tensor, out: out);
            math 8 Ceil(x: tensor, out: out);
            math 8 Round(x: tensor, out: out);
            math 8 Clamp(x: tensor, clip_value_min: scalar, clip_value_max: scalar, out: out);
            math 8 ClampMin(x: tensor, clip_value_min: scalar, out: out);
            math 8 InplaceClampMax(x: inout, clip_value_max: scalar);
            nn 8 InplaceThreshold(x: inout, threshold: scalar, value: scalar);
            math 8 LogicalNot(x: tensor, out: out);
            math 8 LogicalAnd(x: tensor, other: tensor, out: out);
            math 8 LogicalOr(x: tensor, other: tensor, out: out);
            math 8 LogicalXor(x: tensor, other: tensor, out: out);
            // Activations
            nn 8 Relu(x: tensor, out: out);
            nn 8 LeakyRelu(x: tensor, negative_slope: scalar, out: out);
            nn 8 Elu(x: tensor, alpha: scalar, scale: scalar, input_scale: scalar, out: out);
            nn 8 Gelu(x: tensor, out: out);
            nn 8 GeluV2(x: tensor, approximate: i64, y: out);
            nn 8 Silu(x: tensor, out: out);
            nn 8 Hardsigmoid(x: tensor, out: out);
            nn 8 Hardswish(x: tensor, out: out);
            nn 8 Softplus(x: tensor, beta: scalar, threshold: scalar, out: out);
            nn 8 SwiGlu(x: tensor, dim: i64, out: out);
            nn 8 SwiGluGrad(y_grad: tensor, x: tensor, dim: i64, out: out);
            nn 8 GeGluV3(x: tensor, dim: i64, approximate: i64, activate_left: bool, out: out, out_gelu: out);
            nn 8 GeluBackwardV2(grad_output: tensor, x: tensor, approximate: str, grad_input: out);
            nn 8 SiluBackward(grad_output: tensor, x: tensor, grad_input: out);
            math 8 TanhBackward(grad_output: tensor, output: tensor, grad_input: out);
            nn 8 SigmoidBackward(grad_output: tensor, output: tensor, grad_input: out);
            // Rows: softmax and normalisation
            nn 8 Softmax(x: tensor, dim: i64, out: out);
            nn 8 SoftmaxBackward(grad_output: tensor, output: tensor, dim: i64, out: out);
            nn 8 LogSoftmax(x: tensor, dim: i64, out: out);
            nn 8 LogSoftmaxBackward(grad_output: tensor, output: tensor, dim: i64, out: out);
            nn 8 LayerNorm(input: tensor, normalized_shape: ints, weight: opt_tensor, bias: opt_tensor, eps: f64, out: out, mean_out: opt_out, rstd_out: opt_out);
            nn 8 LayerNormBackward(grad_out: tensor, input: tensor, normalized_shape: ints, mean: tensor, rstd: tensor, weight: opt_tensor, bias: opt_tensor, output_mask: bools, grad_input_out: opt_out, grad_weight_out: opt_out, grad_bias_out: opt_out);
            nn 8 RmsNorm(x: tensor, gamma: tensor, epsilon: f64, y_out: out, rstd_out: out);
            nn 8 RmsNormGrad(dy: tensor, x: tensor, rstd: tensor, gamma: tensor, dx_out: out, dgamma_out: out);
            nn 8 AddRmsNorm(x1: tensor, x2: tensor, gamma: tensor, epsilon: f64, y_out: out, rstd_out: out, x_out: out);
            nn 8 GemmaRmsNorm(x: tensor, gamma: tensor, epsilon: f64, y_out: out, rstd_out: out);
            nn 8 GroupNorm(x: tensor, gamma: opt_tensor, beta: opt_tensor, n: i64, c: i64, hxw: i64, group: i64, eps: f64, out: out, mean_out: opt_out, rstd_out: opt_out);
            nn 8 Norm(x: tensor, p_scalar: scalar, dim: ints, keepdim: bool, out: out);
            // Positions and attention
            transformer 9 RotaryPositionEmbedding(x: tensor, cos: tensor, sin: tensor, mode: i64, out: out);
            transformer 8 FlashAttentionScore(query: tensor, key: tensor, value: tensor, real_shift: opt_tensor, drop_mask: opt_tensor, padding_mask: opt_tensor, atten_mask: opt_tensor, prefix: opt_ints, scale_value: f64, keep_prob: f64, pre_tokens: i64, next_tokens: i64, head_num: i64, input_layout: str, inner_precise: i64, sparse_mode: i64, softmax_max_out: out, softmax_sum_out: out, softmax_out_out: opt_out, attention_out_out: out);
            transformer 8 FlashAttentionScoreGrad(query: tensor, key_in: tensor, value: tensor, dy: tensor, pse_shift: opt_tensor, drop_mask: opt_tensor, padding_mask: opt_tensor, atten_mask: opt_tensor, softmax_max: opt_tensor, softmax_sum: opt_tensor, softmax_in: opt_tensor, attention_in: opt_tensor, prefix: opt_ints, scale_value: f64, keep_prob: f64, pre_tokens: i64, next_tokens: i64, head_num: i64, input_layout: str, inner_precise: i64, sparse_mode: i64, dq_out: out, dk_out: out, dv_out: out, dpse_out: opt_out);
            transformer 8 FusedInferAttentionScoreV2(query: tensor, key: tensors, value: tensors, pse_shift: opt_tensor, atten_mask: opt_tensor, actual_seq_lengths: opt_ints, actual_seq_lengths_kv: opt_ints, deq_scale1: opt_tensor, quant_scale1: opt_tensor, deq_scale2: opt_tensor, quant_scale2: opt_tensor, quant_offset2: opt_tensor, antiquant_scale: opt_tensor, antiquant_offset: opt_tensor, block_table: opt_tensor, query_padding_size: opt_tensor, kv_padding_size: opt_tensor, key_antiquant_scale: opt_tensor, key_antiquant_offset: opt_tensor, value_antiquant_scale: opt_tensor, value_antiquant_offset: opt_tensor, key_shared_prefix: opt_tensor, value_shared_prefix: opt_tensor, actual_shared_prefix_len: opt_ints, num_heads: i64, scale_value: f64, pre_tokens: i64, next_tokens: i64, input_layout: str, num_key_value_heads: i64, sparse_mode: i64, inner_precise: i64, block_size: i64, antiquant_mode: i64, softmax_lse_flag: bool, key_antiquant_mode: i64, value_antiquant_mode: i64, attention_out: out, softmax_lse: opt_out);
            // Indexing
            nn 8 Embedding(weight: tensor, indices: tensor, out: out);
            nn 8 IndexSelect(x: tensor, dim: i64, index: tensor, out: out);
            nn 8 GatherV2(x: tensor, dim: i64, index: tensor, out: out);
            nn 8 Gather(x: tensor, dim: i64, index: tensor, out: out);
            nn 8 ScatterAdd(x: tensor, dim: i64, index: tensor, src: tensor, out: out);
            nn 8 InplaceScatter(x: inout, dim: i64, index: tensor, src: tensor, reduce: i64);
            nn 8 IndexAdd(x: tensor, dim: i64, index: tensor, source: tensor, alpha: scalar, out: out);
            nn 8 InplaceIndexCopy(x: inout, dim: i64, index: tensor, source: tensor);
            nn 8 InplaceIndexFillTensor(x: inout, dim: i64, index: ints, value: scalar);
            // Copies and shapes
            math 8 Cast(x: tensor, dtype: dtype, out: out);
            math 8 InplaceCopy(x: out, src: tensor);
            math 8 Permute(x: tensor, dims: ints, out: out);
            math 8 Cat(tensors: tensors, dim: i64, out: out);
            math 8 Slice(x: tensor, dim: i64, start: i64, end: i64, step: i64, out: out);
            math 8 Repeat(x: tensor, repeats: ints, out: out);
            nn 8 RepeatInterleaveIntWithDim(x: tensor, repeats: i64, dim: i64, output_size: i64, out: out);
            math 8 ConstantPadNd(x: tensor, pad: ints, value: scalar, out: out);
            math 8 ReflectionPad1d(x: tensor, padding: ints, out: out);
            math 8 Roll(x: tensor, shifts: ints, dims: ints, out: out);
            // Reductions and search
            math 8 ReduceSum(x: tensor, dims: ints, keep_dims: bool, dtype: dtype, out: out);
            math 8 Mean(x: tensor, dim: ints, keep_dim: bool, dtype: dtype, out: out);
            math 8 Amax(x: tensor, dim: ints, keep_dim: bool, out: out);
            math 8 Amin(x: tensor, dim: ints, keep_dim: bool, out: out);
            math 8 ProdDim(x: tensor, dim: i64, keep_dim: bool, dtype: dtype, out: out);
            math 8 Cumsum(x: tensor, dim: i64, dtype: dtype, out: out);
            math 8 Cumprod(input: tensor, dim: scalar, dtype: dtype, out: out);
            math 8 ArgMax(x: tensor, dim: i64, keepdim: bool, out: out);
            math 8 ArgMin(x: tensor, dim: i64, keepdim: bool, out: out);
            math 8 Argsort(x: tensor, dim: i64, descending: bool, out: out);
            math 8 Sort(x: tensor, stable: bool, dim: i64, descending: bool, values_out: out, indices_out: out);
            nn 8 Topk(x: tensor, k: i64, dim: i64, largest: bool, sorted: bool, values_out: out, indices_out: out);
            math 8 Any(x: tensor, dim: ints, keepdim: bool, out: out);
            math 8 All(x: tensor, dim: ints, keepdim: bool, out: out);
            // Selection, masks and comparisons
            math 8 SWhere(condition: tensor, x: tensor, other: tensor, out: out);
            math 8 InplaceMaskedFillScalar(x: inout, mask: tensor, value: scalar);
            math 8 Tril(x: tensor, diagonal: i64, out: out);
            math 8 Triu(x: tensor, diagonal: i64, out: out);
            math 8 InplaceTriu(x: inout, diagonal: i64);
            math 8 EqTensor(x: tensor, other: tensor, out: out);
            math 8 NeTensor(x: tensor, other: tensor, out: out);
            math 8 LtTensor(x: tensor, other: tensor, out: out);
            math 8 LeTensor(x: tensor, other: tensor, out: out);
            math 8 GtTensor(x: tensor, other: tensor, out: out);
            math 8 GeTensor(x: tensor, other: tensor, out: out);
            math 8 EqScalar(x: tensor, other: scalar, out: out);
            math 8 NeScalar(x: tensor, other: scalar, out: out);
            math 8 GtScalar(x: tensor, other: scalar, out: out);
            math 8 IsFinite(x: tensor, out: out);
            // Losses
            nn 8 CrossEntropyLoss(input: tensor, target: tensor, weight: opt_tensor, reduction: opt_str, ignore_index: i64, label_smoothing: f64, lse_square_scale_for_zloss: f64, return_zloss: bool, loss_out: out, log_prob_out: out, zloss_out: opt_out, lse_for_zloss_out: opt_out);
            nn 8 CrossEntropyLossGrad(grad_loss: tensor, log_prob: tensor, target: tensor, weight: opt_tensor, grad_zloss: opt_tensor, lse_for_zloss: opt_tensor, reduction: opt_str, ignore_index: i64, label_smoothing: f64, lse_square_scale_for_zloss: f64, out: out);
            nn 9 SoftmaxCrossEntropyWithLogits(features: tensor, labels: tensor, loss: out, backprop: out);
            // Vision
            nn 8 Convolution(input: tensor, weight: tensor, bias: opt_tensor, stride: ints, padding: ints, dilation: ints, transposed: bool, output_padding: opt_ints, groups: i64, output: out, cube_math_type: i8);
            math 8 Im2col(x: tensor, kernel_size: ints, dilation: ints, padding: ints, stride: ints, out: out);
            cv 8 UpsampleNearest2d(x: tensor, output_size: ints, out: out);
            nn 8 AvgPool2d(x: tensor, kernel_size: ints, strides: ints, paddings: ints, ceil_mode: bool, count_include_pad: bool, divisor_override: i64, cube_math_type: i8, out: out);
            nn 8 MaxPool(x: tensor, kernel_shape: ints, strides: ints, auto_pad: i64, pads: ints, dilations: ints, ceil_mode: i64, out: out);
            // Fills, optimizer, solver
            math 8 Arange(start: scalar, end: scalar, step: scalar, out: out);
            math 8 InplaceZero(x: inout);
            math 8 InplaceOne(x: inout);
            math 8 InplaceFillScalar(x: inout, value: scalar);
            nn 8 ApplyAdamWV2(var_ref: inout, m_ref: inout, v_ref: inout, max_grad_norm_ref: opt_inout, grad: tensor, step: tensor, lr: f32, beta1: f32, beta2: f32, weight_decay: f32, eps: f32, amsgrad: bool, maximize: bool);
            math 8 TriangularSolve(x: tensor, a: tensor, upper: bool, transpose: bool, unitriangular: bool, x_out: out, m_out: out);
        }
    };
}

/// The C type of an argument of this kind.
#[macro_export]
macro_rules! aclnn_type {
    (tensor) => { *const $crate::aclTensor };
    (opt_tensor) => { *const $crate::aclTensor };
    (out) => { *const $crate::aclTensor };
    (opt_out) => { *const $crate::aclTensor };
    (inout) => { *const $crate::aclTensor };
    (opt_inout) => { *const $crate::aclTensor };
    (tensors) => { *const $crate::aclTensorList };
    (scalar) => { *const $crate::aclScalar };
    (ints) => { *const $crate::aclIntArray };
    (opt_ints) => { *const $crate::aclIntArray };
    (bools) => { *const $crate::aclBoolArray };
    (dtype) => { $crate::aclDataType };
    (str) => { *const ::std::ffi::c_char };
    (opt_str) => { *const ::std::ffi::c_char };
    ($number:ident) => { $number };
}

/// An operation of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aclnn {
    /// Its name without the prefix `aclnn`.
    pub name: &'static str,
    /// The part of the split operator libraries that has it: `math` for `libopapi_math.so`.
    pub library: &'static str,
    /// The first major version of CANN that has it.
    pub since: u32,
    /// The names and kinds of the arguments of its first phase, without the workspace size and the executor.
    pub arguments: &'static [(&'static str, &'static str)],
}

macro_rules! list {
    ($($library:ident $since:literal $op:ident($($name:ident: $kind:ident),* $(,)?);)*) => {
        /// The operations of [`for_each_aclnn!`], for programs that want to look at them.
        pub static ACLNN: &[Aclnn] = &[$(Aclnn {
            name: stringify!($op),
            library: stringify!($library),
            since: $since,
            arguments: &[$((stringify!($name), stringify!($kind))),*],
        }),*];
    };
}
for_each_aclnn!(list);
