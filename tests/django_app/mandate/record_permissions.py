"""An authentication backend that knows permissions on single groups: `may decide about <name>`."""

from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.models import Group


class RecordPermissions(BaseBackend):
    """A user holds a permission for the groups that the user is a member of."""

    def has_perm(self, user_obj, perm, obj=None):
        return isinstance(obj, Group) and user_obj.groups.filter(pk=obj.pk).exists()
