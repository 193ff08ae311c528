"""What people and agents may read of the course."""

from practice import models


def lesson(module_id: int) -> models.Module:
    """Return a published lesson.

    Raises:
        Module.DoesNotExist: there is none with that id, or it is not published.
    """
    return models.Module.objects.get(pk=module_id, published=True)


def student(student_id: int) -> models.StudentProfile:
    """Return a student's profile.

    Raises:
        StudentProfile.DoesNotExist: there is none with that id.
    """
    return models.StudentProfile.objects.get(pk=student_id)
