using Qbb.Bases;
using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Models.Generation;
using Qbb.Quantizer.Calibration;
using Qbb.Quantizer.Distillation;
using Qbb.Quantizer.Driver;
using Qbb.Recipes;
using Qbb.Tests;

namespace Qbb.Quantizer.Tests.Distillation;

/// <summary>A teacher of two blocks and 256 tokens, and its student of two bases, made once for a class of tests.</summary>
public sealed class TinyModels : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("qbb-distillation-").FullName;

    public TinyModels()
    {
        Student = Path.Combine(_folder, "student");
        new ModelQuantizer(new Recipe { Bases = 2, Group = 16 }).Run(Teacher, Student);
    }

    public static string Teacher { get; } = Reference.Path("architectures", "llama-gqa-tied");

    public string Student { get; }

    /// <summary>A new path in a folder that goes with this object.</summary>
    public string NewPath() => Path.Combine(Directory.CreateDirectory(Path.Combine(_folder, Guid.NewGuid().ToString("N"))).FullName, "out");

    /// <summary>Random sequences of 12 to 20 tokens, or all of one length.</summary>
    internal static TokenSequences Data(int count, ulong seed = 5, int? length = null)
    {
        var random = new SplitMix64(seed);
        return new TokenSequences(Enumerable.Range(0, count).Select(_ =>
        {
            var ids = new int[length ?? (int)(12 + random.Next() % 9)];
            foreach (ref var id in ids.AsSpan())
                id = (int)(random.Next() % 256);
            return ids;
        }));
    }

    /// <summary>Both models, loaded; they go with the result.</summary>
    internal Pair Load(ScalarType type = ScalarType.Float32, Device? on = null)
    {
        var device = on ?? torch.CPU;
        var (student, teacher) = (ModelSource.Open(Student), ModelSource.Open(Teacher));
        return new Pair(student, teacher, Transformer.Load(student, device, type, BasesLinearLoader.For(student)), Transformer.Load(teacher, device, type));
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    internal sealed record Pair(ModelSource StudentSource, ModelSource TeacherSource, Transformer Student, Transformer Teacher) : IDisposable
    {
        public BinaryLinear Linear(int block, LinearRole role) => (BinaryLinear)Student.Blocks[block].Linear(role);

        public void Dispose()
        {
            Student.Dispose();
            Teacher.Dispose();
            StudentSource.Dispose();
            TeacherSource.Dispose();
        }
    }
}
