using Qbb.Models.Decoder;

namespace Qbb.Quantizer.Distillation;

/// <summary>A stack of blocks, each the student's or the teacher's, between the student's embedding and final norm.</summary>
/// <param name="student">Its scales are trained.</param>
/// <param name="teacher">Of the same shape, on the same device and of the same type.</param>
/// <param name="checkpointing">Keep a block's input only and run the block again for its gradients.</param>
internal sealed class MixedStack(Transformer student, Transformer teacher, bool checkpointing)
{
    /// <summary>Runs a batch.</summary>
    /// <param name="batch">The tokens.</param>
    /// <param name="context">From the student; must live until backward.</param>
    /// <param name="fromStudent">Per block whether it is the student's.</param>
    /// <param name="features">What the teacher has behind each block, [rows, longest, hidden]; null for no feature loss.</param>
    /// <returns>What the head reads, [positions, d], and the feature loss, of no dimensions.</returns>
    public (Tensor Hidden, Tensor? Feature) Run(
        TokenBatch batch, ForwardContext context, bool[] fromStudent, IReadOnlyList<Tensor>? features = null)
    {
        using var scope = torch.NewDisposeScope();
        var x = student.embed(batch.Ids, context);
        Tensor? feature = null;
        for (var k = 0; k < fromStudent.Length; k++)
        {
            x = Forward(fromStudent[k] ? student.Blocks[k] : teacher.Blocks[k], x, context);
            if (features is null || !fromStudent[k])
                continue;
            var distance = RelativeDistance(batch.Select(x), batch.Select(features[k]));
            feature = feature is null ? distance : feature + distance;
        }
        if (feature is not null)
            feature = (feature / fromStudent.Count(own => own)).MoveToOuterDisposeScope();
        return (batch.Select(student.norm(x)).MoveToOuterDisposeScope(), feature);
    }

    /// <summary>What the teacher has behind each of its blocks, [rows, longest, hidden], without gradients.</summary>
    public Tensor[] Features(TokenBatch batch, ForwardContext context)
    {
        using var scope = torch.NewDisposeScope();
        using var off = torch.no_grad();
        var x = teacher.embed(batch.Ids, context);
        var features = new Tensor[teacher.Blocks.Count];
        for (var k = 0; k < features.Length; k++)
            features[k] = x = teacher.Blocks[k].forward(x, context);
        foreach (var tensor in features)
            tensor.MoveToOuterDisposeScope();
        return features;
    }

    private Tensor Forward(TransformerBlock block, Tensor x, ForwardContext context)
    {
        if (!checkpointing)
            return block.forward(x, context);
        Tensor[] trained = [.. block.Parameters().Select(parameter => parameter.Value).Where(value => value.requires_grad)];
        return Gradients.Checkpoint(input => block.forward(input, context), x, trained);
    }

    /// <summary>‖x − t‖²/‖t‖²: blocks count alike however large their states grow.</summary>
    private static Tensor RelativeDistance(Tensor x, Tensor teacher)
    {
        if (FusedDistance.Serves(x, teacher))
            return FusedDistance.Relative(x, teacher);
        var wide = teacher.dtype == ScalarType.Float64 ? teacher : teacher.to(ScalarType.Float32);
        return (x.to(wide.dtype) - wide).square().sum() / wide.square().sum();
    }
}
