namespace Qbb.Torch;

/// <summary>Where a tensor lives, numbered as in libtorch's c10::DeviceType.</summary>
public enum DeviceType
{
    CPU = 0, CUDA = 1,
}
