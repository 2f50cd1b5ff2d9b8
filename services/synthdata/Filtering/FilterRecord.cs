using Qbb.Recipes;

namespace Qbb.Synthdata.Filtering;

/// <summary>What a filter kept of which data, as the manifest of filtered data says.</summary>
/// <param name="Source">Digest of the data that were filtered.</param>
/// <param name="SourceSequences">Sequences of them.</param>
/// <param name="Keep">Share that was requested.</param>
/// <param name="Random">Chosen at random.</param>
/// <param name="Seed">Of the random choice; null where discrepancy decided.</param>
/// <param name="Measure">Of the scores; null where nothing was scored.</param>
/// <param name="Teacher">Digest of the teacher; null where nothing was scored.</param>
/// <param name="Student">Digest of the student; null where nothing was scored.</param>
/// <param name="MeanScore">Mean discrepancy of all sequences; null where nothing was scored.</param>
/// <param name="MeanKeptScore">Mean discrepancy of those that were kept; null where nothing was scored.</param>
/// <param name="Indices">Rows of the source, in rising order: row i of the filtered data is row Indices[i] of the source.</param>
/// <param name="Scores">Discrepancy of each kept row; null where nothing was scored.</param>
public sealed record FilterRecord(
    string Source,
    int SourceSequences,
    double Keep,
    bool Random,
    ulong? Seed,
    Measure? Measure,
    string? Teacher,
    string? Student,
    double? MeanScore,
    double? MeanKeptScore,
    IReadOnlyList<int> Indices,
    IReadOnlyList<double>? Scores);
