using System.Runtime.InteropServices;

namespace Qbb.Checkpoints;

/// <summary>Reads the key-value part of a GGUF file.</summary>
internal sealed class GgufMetadataReader(GgufCursor cursor)
{
    // What a tokenizer of 260,000 tokens needs is a tenth of these; they bound what a lying file makes us allocate.
    private const int MaxElements = 1 << 22;
    private const long MaxBytes = 64 << 20;
    private const int MaxKeys = 1 << 16;
    private const int MaxKeyLength = 65535;
    private const int MaxDepth = 4;

    private readonly long start = cursor.Position;
    private int elements;

    public Dictionary<string, object> Values { get; } = new(StringComparer.Ordinal);

    /// <summary>Types as GGUF spells them; an array's is followed by that of its elements, as in <c>ARRAY STRING</c>.</summary>
    public Dictionary<string, string> Types { get; } = new(StringComparer.Ordinal);

    public static int CheckCount(GgufCursor cursor) => cursor.Count("metadata keys", 8 + 4 + 1, MaxKeys);

    public void Read(int count)
    {
        for (var i = 0; i < count; i++)
        {
            var key = cursor.Text("a metadata key", MaxKeyLength);
            var type = Type(key);
            if (Values.ContainsKey(key))
                throw cursor.Error($"holds the metadata key {Printable.Name(key)} twice");
            Values.Add(key, Value(key, type, out var name));
            Types.Add(key, name);
            CheckSize();
        }
    }

    private void CheckSize()
    {
        if (elements > MaxElements || cursor.Position - start > MaxBytes)
            throw cursor.Error($"holds metadata of more than {MaxElements} array elements or {MaxBytes} bytes");
    }

    private GgufValueType Type(string key)
    {
        var type = (GgufValueType)cursor.UInt32("a metadata type");
        return Enum.IsDefined(type) ? type : throw cursor.Error($"metadata {Printable.Name(key)} has the unknown type {(uint)type}");
    }

    private object Value(string key, GgufValueType type, out string name)
    {
        name = type.ToString().ToUpperInvariant();
        if (type == GgufValueType.Array)
            return Array(key, 1, ref name);
        var what = $"metadata {Printable.Name(key)}";
        return type switch
        {
            GgufValueType.UInt8 => (ulong)cursor.Take(1, what)[0],
            GgufValueType.UInt16 => (ulong)Number<ushort>(what),
            GgufValueType.UInt32 => (ulong)Number<uint>(what),
            GgufValueType.UInt64 => Number<ulong>(what),
            GgufValueType.Int8 => (long)Number<sbyte>(what),
            GgufValueType.Int16 => (long)Number<short>(what),
            GgufValueType.Int32 => (long)Number<int>(what),
            GgufValueType.Int64 => Number<long>(what),
            GgufValueType.Float32 => Number<float>(what),
            GgufValueType.Float64 => Number<double>(what),
            GgufValueType.Bool => cursor.Take(1, what)[0] != 0,
            _ => cursor.Text(what),
        };
    }

    private T Number<T>(string what)
        where T : unmanaged =>
        MemoryMarshal.Read<T>(cursor.Take(Marshal.SizeOf<T>(), what));

    private object Array(string key, int depth, ref string name)
    {
        if (depth > MaxDepth)
            throw cursor.Error($"metadata {Printable.Name(key)} nests arrays more than {MaxDepth} deep");
        var type = Type(key);
        name += $" {type.ToString().ToUpperInvariant()}";
        var what = $"elements of metadata {Printable.Name(key)}";
        var count = cursor.Count(what, SmallestSize(type), MaxElements);
        elements += count;
        CheckSize();
        return type switch
        {
            GgufValueType.UInt8 => cursor.Numbers<byte>(count, what),
            GgufValueType.UInt16 => cursor.Numbers<ushort>(count, what),
            GgufValueType.UInt32 => cursor.Numbers<uint>(count, what),
            GgufValueType.UInt64 => cursor.Numbers<ulong>(count, what),
            GgufValueType.Int8 => cursor.Numbers<sbyte>(count, what),
            GgufValueType.Int16 => cursor.Numbers<short>(count, what),
            GgufValueType.Int32 => cursor.Numbers<int>(count, what),
            GgufValueType.Int64 => cursor.Numbers<long>(count, what),
            GgufValueType.Float32 => cursor.Numbers<float>(count, what),
            GgufValueType.Float64 => cursor.Numbers<double>(count, what),
            GgufValueType.Bool => System.Array.ConvertAll(cursor.Numbers<byte>(count, what), value => value != 0),
            GgufValueType.String => Strings(count, what),
            _ => Nested(key, count, depth, ref name),
        };
    }

    private string[] Strings(int count, string what)
    {
        var strings = new string[count];
        for (var i = 0; i < count; i++)
        {
            strings[i] = cursor.Text(what);
            CheckSize();
        }
        return strings;
    }

    private object[] Nested(string key, int count, int depth, ref string name)
    {
        var arrays = new object[count];
        var names = name;
        for (var i = 0; i < count; i++)
        {
            names = name;
            arrays[i] = Array(key, depth + 1, ref names);
        }
        name = names;
        return arrays;
    }

    private static int SmallestSize(GgufValueType type) => type switch
    {
        GgufValueType.UInt8 or GgufValueType.Int8 or GgufValueType.Bool => 1,
        GgufValueType.UInt16 or GgufValueType.Int16 => 2,
        GgufValueType.UInt32 or GgufValueType.Int32 or GgufValueType.Float32 => 4,
        GgufValueType.Array => 4 + 8,
        _ => 8,
    };
}
