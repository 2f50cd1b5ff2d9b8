using Qbb.Cuda;
using Qbb.Models;
using Qbb.Recipes;

namespace Qbb.Quantizer.Distillation;

/// <summary>How a distillation is carried out; the result is not meant to depend on it.</summary>
public sealed record DistillationOptions
{
    private const long MostCache = 32L << 30;

    public Device Device { get; init; } = torch.CPU;

    /// <summary>Steps between two checkpoints.</summary>
    public int CheckpointEvery { get; init; } = 50;

    /// <summary>Keep only the input of every block and run it again backwards: less memory, a third more time.</summary>
    public bool ActivationCheckpointing { get; init; }

    /// <summary>On a CPU the activations of a pass above which <see cref="ActivationCheckpointing"/> is used anyway.</summary>
    public long ActivationBytes { get; init; } = long.MaxValue;

    /// <summary>Memory for the teacher's last hidden states, which then need not be calculated again; 0 for none.</summary>
    public long CacheBytes { get; init; } = 2L << 30;

    /// <summary>Replay the launches of a small model's step on a GPU as one graph; without, they are made one by one.</summary>
    public bool CudaGraphs { get; init; } = true;

    /// <summary>Replace an output that exists.</summary>
    public bool Force { get; init; }

    /// <summary>What suits a device: a GPU has memory for the states of more sequences, and its steps are shorter.</summary>
    public static DistillationOptions On(Device device, DistillationRecipe recipe) => device.type != DeviceType.CUDA
        ? new DistillationOptions { Device = device, CheckpointEvery = 25 }
        : new DistillationOptions
        {
            Device = device,
            CheckpointEvery = Math.Max(50, recipe.Steps / 6),
            CacheBytes = Math.Min(MostCache, CudaDevice.Get(device).Memory.Free / 4),
        };

    /// <exception cref="InvalidInputException">A value is out of range; the message names it.</exception>
    public void Validate()
    {
        if (CheckpointEvery < 1)
            throw new InvalidInputException($"--checkpoint-every is {CheckpointEvery}; it must be at least 1");
        if (CacheBytes < 0)
            throw new InvalidInputException($"--teacher-cache is negative; it must be 0 or more");
    }
}
