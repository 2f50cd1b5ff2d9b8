namespace Qbb.Torch.Interop;

/// <summary>Tags of <see cref="BoxedValue"/>; the same numbers stand in qbb_torch.cpp.</summary>
internal enum ValueTag
{
    None = 0, Tensor = 1, Int = 2, Double = 3, Bool = 4, String = 5, IntList = 6, DoubleList = 7, TensorList = 8,
    Device = 9, Generator = 10, Default = 11, BoolList = 12,
}
