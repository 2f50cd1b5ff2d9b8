using Qbb.Checkpoints;

namespace Qbb.Models.Decoder;

/// <summary>Makes a linear layer from a checkpoint; another storage of weights plugs in here.</summary>
public interface ILinearLoader
{
    /// <exception cref="InvalidInputException">A tensor is missing or has another shape than the configuration says.</exception>
    ILinear Load(ITensorSource source, LinearSpec spec, Device device, ScalarType dtype);
}
